"""The frame around the pages: one is shown, the others cost nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.hub import Hub
from app.pages import PAGES
from tests.app.conftest import Visit

Make = Callable[..., Visit]


def test_each_page_has_its_script_template_and_address(visit: Make) -> None:
    for name in PAGES:
        here = visit(f"page={name}")
        assert here.session.here == name
        assert here.doc.template_variables["here"] == name
        assert here.session.pages[name].state.name == name


def test_nothing_is_asked_of_the_engine_before_ascent_is_seen(visit: Make, hub: Hub) -> None:
    here = visit("page=library")
    asked = len(hub.engine.calls)
    here.arrive().go(1)
    assert len(hub.engine.calls) == asked
    here.ask("page", name="ascent")
    here.go(turns=2)
    assert len(here.calls("begin")) == 1
    assert here.told("status")["state"] == "running"


def test_a_run_rests_while_another_page_is_seen_and_goes_on_after(visit: Make) -> None:
    here = visit().arrive().go(turns=3)
    run = here.page.pilot.run
    here.ask("page", name="library")
    sent = here.page.stream.sent
    here.go(1, turns=5)
    assert here.engine.states[run].state == "resting"
    assert here.page.stream.sent == sent
    here.ask("page", name="ascent")
    here.go(turns=3)
    assert here.engine.states[run].state == "running"
    assert here.page.stream.sent > sent
    assert len(here.calls("begin")) == 1


def test_a_hidden_tab_hides_the_page_that_is_shown(visit: Make) -> None:
    here = visit().arrive().go(turns=2)
    run = here.page.pilot.run
    here.ask("viewing", on=False)
    here.ask("page", name="library")
    here.ask("page", name="ascent")
    here.go()
    assert here.engine.states[run].state == "resting"
    here.ask("viewing", on=True)
    here.go()
    assert here.engine.states[run].state == "running"


@pytest.mark.parametrize("name", ["nowhere", "<img src=x>", "a" * 3000])
def test_an_address_of_no_page_says_so_and_shows_the_first(visit: Make, name: str) -> None:
    here = visit(f"page={name}").arrive().go()
    assert here.session.here == "ascent"
    assert here.told("notice")["message"].startswith("There is no page")
    first, *others = (page.title for page in PAGES.values())
    assert f"{', '.join([first, *others[:-1]])} and {others[-1]}" in here.told("notice")["hint"]
    assert len(here.calls("begin")) == 1


def test_a_page_that_is_not_there_cannot_be_gone_to(visit: Make) -> None:
    here = visit().arrive()
    for wrong in ("nowhere", "", "__class__"):
        here.ask("page", name=wrong)
    here.ask("annotate", page="nowhere", run="x")
    here.ask("annotate", page=["library"], run="x")
    assert here.session.here == "ascent"
