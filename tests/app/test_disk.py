"""What the page says of the disk: shares, bounds that are reached, a history that is not written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from app.disk import use
from app.hub import Hub
from tests.app.conftest import Visit
from vizcore.history import PAUSED, RunReader
from vizcore.runs import Library
from vizcore.spec import build

Make = Callable[..., Visit]
TROUBLE = f"The disk is full; {PAUSED}. Free some space; the run goes on meanwhile."


def looked(here: Visit, hub: Hub) -> Visit:
    """Enough ticks for a look at the library, which happens aside."""
    here.go(10)
    hub._aside.submit(lambda: None).result(10)
    return here.go()


def test_the_share_of_run_and_library_is_told(visit: Make, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZCORE_RUN_MIB", "400")
    monkeypatch.setenv("VIZCORE_LIBRARY_MIB", "300")
    here = looked(visit().arrive().go(turns=5), hub)
    disk = here.told("status")["disk"]
    path = hub.library.path(here.page.pilot.run)
    assert disk["run"] == pytest.approx(here.page.pilot.reader.used)
    assert 0 < disk["run"] <= path.stat().st_size + path.with_name(path.name + "-wal").stat().st_size
    assert (disk["limit"], disk["library_limit"], disk["stride"]) == (400 * 2**20, 300 * 2**20, 1)
    assert disk["library"] == sum(info.bytes for info in hub.library.list())
    assert here.told("notice") is None


def test_a_history_that_is_not_written_is_a_banner_until_it_is(visit: Make) -> None:
    here = visit().arrive().go(turns=3)
    run = here.page.pilot.run
    here.engine.states[run] = replace(here.engine.states[run], note=TROUBLE)
    here.go(2)
    told = here.told("notice")
    assert told["message"] == f"The disk is full; {PAUSED}."
    assert told["hint"] == "Free some space; the run goes on meanwhile."
    assert told["action"]["do"] == "pause"
    here.ask("dismiss", id=told["id"])
    here.go(2)
    assert here.told("notice") is None  # said once
    here.engine.states[run] = replace(here.engine.states[run], note="")
    here.go()
    assert here.told("notice") == {"id": told["id"], "kind": "gone"}


def test_a_run_that_fills_its_share_says_so_once(visit: Make, hub: Hub) -> None:
    here = visit().arrive().go(turns=3)
    writer = here.engine.tasks[here.page.pilot.run].writer
    writer.set_meta("stride", 4)
    writer.flush()
    here.go()
    told = here.told("notice")
    assert "every 4th step" in told["message"]
    assert "VIZCORE_RUN_MIB" in told["hint"]
    here.ask("dismiss", id=told["id"])
    here.go(2)
    assert here.told("notice") is None
    assert here.told("status")["disk"]["stride"] == 4


def test_a_full_library_names_the_oldest_runs(visit: Make, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = build("digits", "conv2", "0-7", size=128, seed=1)
    noise = np.random.default_rng(0).integers(0, 256, (8, 128, 128, 3), np.uint8)
    runs = []
    for _ in range(2):
        run, writer = hub.library.create(spec)
        runs.append(run)
        with writer:
            for step in range(3):
                writer.add(step, noise, np.zeros(8), np.ones(8))
            writer.set_state("done")
    monkeypatch.setenv("VIZCORE_LIBRARY_MIB", "1")
    here = looked(visit().arrive(), hub)
    told = here.told("notice")
    assert "bound of 1 MiB" in told["message"]
    assert sorted(runs)[0] in told["hint"]
    assert {info.id for info in hub.library.list()} >= set(runs)


def test_a_library_within_its_bound_is_not_opened(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Library, "over_quota", lambda *_: pytest.fail("opened"))
    assert use(hub.library).oldest == ()
    monkeypatch.setenv("VIZCORE_LIBRARY_MIB", "many")
    assert use(hub.library).limit > 2**60


def test_used_is_what_the_file_takes_without_free_pages(hub: Hub) -> None:
    run, writer = hub.library.create(build("digits", "conv2", "0", size=64, steps=200))
    noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    with writer:
        for step in range(150):
            writer.add(step, noise, np.zeros(1), np.ones(1))
    path = hub.library.path(run)
    with RunReader(path) as reader:
        full = reader.used
    assert full == path.stat().st_size
    with hub.library.open(run) as reader:
        writer = type(writer).open(path)
        writer.rewind(10)
        writer.close()
        assert reader.used < full / 5
