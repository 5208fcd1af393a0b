"""The Library: what it lists and what it changes, checked against the run files."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from app.hub import Hub
from tests.app.conftest import Visit
from tests.app.test_travels import begun, settle
from vizcore.spec import build

Make = Callable[..., Visit]


def listed(here: Visit) -> dict[str, dict[str, object]]:
    """The runs as the page fetches them."""
    here.session.hub.shelf.refresh(now=True)
    settle(here)
    return {run["id"]: run for run in json.loads(here.hub.shelf.text)["runs"]}


def library(visit: Make) -> tuple[Visit, str]:
    here = begun(visit)
    run = here.page.pilot.run
    here.ask("page", name="library")
    return settle(here), run


def test_names_notes_and_pins_are_in_the_run_file(visit: Make, hub: Hub) -> None:
    here, run = library(visit)
    here.ask("annotate", page="library", run=run, name="Rings", note="seen <b>often</b>", pinned=True)
    settle(here)
    info = hub.library.info(run)
    assert (info.name, info.note, info.pinned) == ("Rings", "seen <b>often</b>", True)
    assert listed(here)[run]["name"] == "Rings"
    here.ask("annotate", page="library", run="../../x", note="x")
    settle(here)
    assert here.told("notice")["message"] == "There is no such run."


def test_a_deleted_run_comes_back(visit: Make, hub: Hub) -> None:
    here, run = library(visit)
    here.ask("delete", page="library", run=run)
    settle(here)
    assert run not in listed(here)
    assert run in hub.library.trash()
    action = here.told("notice")["action"]
    here.ask(**action)
    settle(here)
    assert run in listed(here)
    assert hub.library.open(run).frame(3, 0) is not None


def test_a_run_with_forks_goes_with_them_or_not_at_all(visit: Make, hub: Hub) -> None:
    here = begun(visit)
    parent = here.page.pilot.run
    here.ask("fork", step=5)
    settle(here.go(0.5, turns=3))
    fork = here.page.pilot.run
    here.ask("page", name="library")
    here.ask("delete", page="library", run=parent)
    settle(here)
    assert here.told("notice")["kind"] == "error"
    assert {parent, fork} <= set(listed(here))
    here.ask("delete", page="library", run=parent, forks=True)
    settle(here)
    assert not {parent, fork} & set(listed(here))
    here.ask(**here.told("notice")["action"])
    settle(here)
    assert {parent, fork} <= set(listed(here))


def test_the_bound_and_what_goes_are_told_and_the_rest_stays(
    visit: Make, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, run = library(visit)
    for _ in range(3):
        begun(visit, "size=128&filters=0-15", turns=20)
    here.ask("delete", page="library", run=run)
    settle(here)
    hub.engine.flush()
    monkeypatch.setenv("VIZCORE_LIBRARY_MIB", "1")
    for one in list(hub.engine.tasks):
        hub.engine.tasks[one].writer.close()
    listed(here)
    told = json.loads(here.session.pages["library"].state.shelf)
    assert told["trash"] == 1
    assert told["over"]
    here.ask("clean", page="library")
    settle(here)
    assert not set(told["over"]) & set(listed(here))
    assert not hub.library.trash()


def test_the_list_is_made_aside(hub: Hub, visit: Make) -> None:
    spec = build("digits", "conv1", (1,), size=16, steps=1)
    for _ in range(50):
        hub.library.create(spec)[1].close()
    here = visit("page=library").arrive()
    assert len(listed(here)) == 50
    told = json.loads(here.session.pages["library"].state.shelf)
    assert (told["count"], told["version"]) == (50, hub.shelf.version)
    version = hub.shelf.version
    listed(here)
    assert hub.shelf.version == version  # nothing new is not told again


def test_the_shown_run_may_be_deleted_and_comes_back(visit: Make) -> None:
    here, run = library(visit)
    here.ask("delete", page="library", run=run)
    settle(here)
    undo = here.told("notice")["action"]
    here.ask("page", name="ascent")
    settle(here)
    assert here.told("status")["state"] == "none"
    assert here.told("notice")["action"] == undo  # no complaint about a file that is gone
    here.ask(**undo)
    settle(here)
    here.ask("open", run=run)
    settle(here)
    assert here.told("run")["id"] == run
