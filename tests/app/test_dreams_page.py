"""The page Dreams: what is begun, which knobs act at once, and that only the shown dream goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.pages.dreams import KNOBS
from tests.app.conftest import Visit
from vizcore.dreamspec import dream
from vizcore.errors import PictureError
from vizcore.spec import PARAMS

Make = Callable[..., Visit]


def told(here: Visit, name: str) -> Any:
    text = getattr(here.session.pages["dreams"].state, name)
    return json.loads(text) if text else None


def begun(here: Visit, **fields: Any) -> Visit:
    wish = {
        "layer": "block2",
        "objective": "layer",
        "steps": 3,
        "source": "ab" * 12,
        "values": {"octaves": 2, "side": 64},
    }
    here.ask("begin", page="dreams", **{**wish, **fields})
    return here.go()


@pytest.fixture
def here(visit: Make) -> Visit:
    return visit("page=dreams").arrive()


def test_the_form_is_made_of_the_parameters(here: Visit) -> None:
    fields = told(here, "fields")
    assert [field["name"] for field in fields["knobs"]] == list(KNOBS)
    for field in fields["knobs"]:
        meta = PARAMS[field["name"]]
        assert (field["min"], field["max"], field["help"]) == (meta.minimum, meta.maximum, meta.help)
        assert meta.coerce(field["default"]) == field["default"]
    assert told(here, "network")["model"] == "imagenette-robust"
    assert not here.calls("begin")  # the script begins, when it has a picture


def test_a_dream_is_begun_and_told_of(here: Visit) -> None:
    begun(here)
    spec = here.calls("begin")[0][0]
    assert spec == dream("imagenette-robust", "block2", (0,), steps=3, octaves=2, side=64, source="ab" * 12)
    here.go(turns=4)
    run = told(here, "run")
    assert (run["latest"], run["steps"], run["octave"], run["state"]) == (3, 6, 2, "running")
    assert run["kept"] == [[0, 3, 1]]
    here.go(turns=4)
    assert told(here, "run")["state"] == "done"


def test_whatever_the_page_sends_is_brought_into_range(here: Visit) -> None:
    begun(here, values={"octaves": 99, "side": "large", "rate": float("1e300"), "tile": None, "evil": 1}, channel=-1)
    spec = here.calls("begin")[0][0]
    assert (spec.octaves, spec.side, spec.channels) == (10, 512, (0,))
    begun(here, objective="rm -rf", layer=5)
    assert len(here.calls("begin")) == 1
    assert "no such dream" in here.told("notice")["message"]


def test_hot_knobs_act_at_once_and_cold_ones_do_not(here: Visit) -> None:
    begun(here)
    here.ask("knob", page="dreams", name="rate", value=0.02)
    here.ask("knob", page="dreams", name="octaves", value=3)
    assert [call[1:] for call in here.calls("knob")] == [("rate", 0.02)]


def test_another_dream_takes_the_place_of_the_first_which_pauses(here: Visit) -> None:
    begun(here)
    first = told(here, "run")["id"]
    begun(here, objective="channel", channel=5)
    second = told(here, "run")["id"]
    assert second != first
    assert here.engine.states[first].state == "paused"
    assert here.calls("begin")[1][0].channels == (5,)
    here.ask("pause", page="dreams")
    here.go()
    assert told(here, "run")["state"] == "paused"
    here.ask("resume", page="dreams")
    here.go()
    assert told(here, "run")["state"] == "running"


def test_a_hidden_page_watches_no_dream(here: Visit) -> None:
    begun(here)
    run = told(here, "run")["id"]
    assert here.calls("watch")[-1][0] == run
    here.ask("page", name="ascent")
    here.go()
    assert run in [call[0] for call in here.calls("unwatch")]


def test_an_error_is_told_and_the_dream_before_stays(here: Visit) -> None:
    begun(here)
    run = told(here, "run")["id"]
    here.engine.fail["begin"] = PictureError("The guide picture is too small: 9 × 9 px.", "Use one of at least 57 px.")
    begun(here, objective="guide", picture="cd" * 12)
    assert "too small" in here.told("notice")["message"]
    assert told(here, "run")["id"] == run


def test_a_dream_of_the_library_opens_here_and_other_runs_on_ascent(here: Visit, visit: Make) -> None:
    begun(here).go(turns=8)
    run = told(here, "run")["id"]
    other = visit("page=library").arrive()
    other.ask("open", page="ascent", run=run)
    other.go()
    assert other.session.here == "dreams"
    assert told(other, "run")["id"] == run
    third = visit(f"page=dreams&run={run}").arrive()
    assert told(third, "run")["latest"] == 6
    wrong = visit("page=dreams&run=20200101-000000-abcdef").arrive()
    assert wrong.told("notice")["kind"] == "error"
