"""Forks, steps computed again, pins, picture B, sweeps, exports and opened files, against the run files."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.files import MAX_UPLOAD
from app.hub import Hub
from app.sweeps import spread
from tests.app.conftest import Clock, Visit
from tests.app.fake import FakeEngine, picture
from vizcore import lineage
from vizcore.errors import EngineError
from vizcore.export import Recipe, png_bytes, recipe_of
from vizcore.history import Pin, decode
from vizcore.runs import Library
from vizcore.spec import PARAMS, Knobs, build

Make = Callable[..., Visit]


def begun(visit: Make, query: str = "size=32&filters=0-3&precision=fp32", turns: int = 40) -> Visit:
    here = visit(query).arrive().go(1.5, turns=turns)
    here.engine.flush()
    return here.go()


def settle(here: Visit, seconds: float = 1.0) -> Visit:
    """Let threads of the hub come to an end, and the page hear of it."""
    hub = here.session.hub
    both = threading.Barrier(3)
    for _ in range(2):  # each of its threads has come to an end with what was before
        hub._making.submit(both.wait, 10)
    both.wait(10)
    for executor in (hub._aside, hub._looking):
        executor.submit(lambda: None).result(10)
    return here.go(seconds)


# Forks -----------------------------------------------------------------------------------------------------------


def test_a_fork_leaves_at_the_step_and_shows_the_parents_frames_before_it(visit: Make) -> None:
    here = begun(visit)
    parent = here.page.pilot.run
    here.ask("fork", step=12)
    settle(here.go(0.5, turns=5))
    run = here.page.pilot.run
    assert run != parent
    told = here.told("run")
    assert (told["parent"], told["root"]) == ([parent, 12], 12)
    with here.hub.library.open(run) as fork, here.hub.library.open(parent) as old:
        assert fork.frame(7, 2).data == old.frame(7, 2).data
        assert fork.root == 12
        assert fork.spec == old.spec
    kept = here.told("kept")["steps"]
    assert kept[0][0] == 0  # the time line begins with the parent's
    here.ask("open", run=parent)
    settle(here)
    assert here.told("family")["forks"] == [[12, run]]
    assert run in [ident for ident, _ in here.told("family")["near"]]


def test_a_fork_of_one_filter_with_the_present_knobs_and_other_moves(visit: Make) -> None:
    here = begun(visit)
    here.turn("rate", 0.2)
    here.turn("decay", 0.1)
    settle(here.go(0.5, turns=5))
    parent = here.page.pilot.run
    here.ask("fork", step=8, channel=2, now=True, reseed=True)
    settle(here.go(0.5, turns=3))
    with here.hub.library.open(here.page.pilot.run) as fork, here.hub.library.open(parent) as old:
        assert fork.spec.channels == (2,)
        assert Knobs(fork.spec, fork.knobs()).at(8)["decay"] == 0.1
        assert Knobs(old.spec, old.knobs()).at(8)["decay"] != 0.1
    seed = here.calls("fork")[0][-1]
    assert isinstance(seed, int)
    assert here.told("run")["channels"] == [2]


def test_a_fork_that_cannot_be_says_so_and_the_run_stays(visit: Make) -> None:
    here = begun(visit)
    run = here.page.pilot.run
    here.ask("fork", step=4000)
    settle(here)
    assert "no step 4000" in here.told("notice")["message"]
    assert here.page.pilot.run == run


def test_a_fork_with_another_objective_and_optimizer(visit: Make) -> None:
    here = begun(visit)
    parent = here.page.pilot.run
    here.ask("fork", step=9, settings={"objective": "-channel", "optimizer": "ascent", "policy": "", "size": "64"})
    settle(here.go(0.5, turns=3))
    run = here.page.pilot.run
    with here.hub.library.open(run) as fork, here.hub.library.open(parent) as old:
        assert fork.spec == old.spec.replace(objective="-channel", optimizer="ascent")
    assert here.told("run")["objective"] == "-channel"
    assert here.page.controls.parameters["optimizer"].widget.value == "ascent"
    here.ask("fork", step=9, settings={"objective": "class"})
    settle(here)
    assert "not of classes" in here.told("notice")["message"]
    assert here.page.pilot.run == run


def elsewhere(tmp_path: Path, clock: Clock, query: str = "") -> Visit:
    """A visit to a server with an empty library."""
    library = Library(tmp_path / "elsewhere")
    hub = Hub(library, FakeEngine(library))
    hub.start()
    return Visit(hub, clock, query).arrive()


def forked(visit: Make) -> Visit:
    """A fork of a run with a turned knob, which has a turned knob itself."""
    here = begun(visit)
    here.turn("rate", 0.2)
    settle(here.go(0.5, turns=5))
    here.ask("fork", step=41, channel=2, reseed=True)
    settle(here.go(0.5, turns=5))
    here.turn("decay", 0.1)
    return settle(here.go(0.5, turns=5))


def same_past(one: Visit, other: Visit) -> None:
    with (
        one.hub.library.open(one.page.pilot.run) as mine,
        other.hub.library.open(other.page.pilot.run) as theirs,
    ):
        assert (mine.spec, mine.knobs()) == (theirs.spec, theirs.knobs())
        assert lineage.of(mine) == lineage.of(theirs) != ()
        assert mine.root == theirs.root
        assert theirs.frames(5)[0].data == mine.frames(5)[0].data  # of a parent that is there, too


def test_the_address_of_a_fork_repeats_it_where_its_parents_are_not(visit: Make, clock: Clock, tmp_path: Path) -> None:
    here = forked(visit)
    there = elsewhere(tmp_path, clock, here.page.state.address)
    there.go()
    notice = there.told("notice")
    assert notice["message"] == "There is no such run."
    there.ask(**notice["action"])
    settle(there.go(0.5, turns=3))
    same_past(here, there)
    assert there.told("run")["id"] in there.page.state.address
    there.hub.close()


def test_the_png_of_a_fork_repeats_it_where_its_parents_are_not(visit: Make, clock: Clock, tmp_path: Path) -> None:
    here = forked(visit)
    with here.hub.library.open(here.page.pilot.run) as reader:
        step = reader.latest()
        recipe = recipe_of(reader, step, 2)
        data = png_bytes(decode(reader.frame(step, 2)), recipe)
    there = elsewhere(tmp_path, clock).go()
    token, path = there.hub.files.new("one.png")
    path.write_bytes(data)
    there.ask("opened", token=token, name="one.png")
    settle(there)
    there.ask(**there.told("notice")["action"])
    settle(there.go(1.2, turns=30))
    same_past(here, there)
    assert there.hub.library.find(recipe) == there.page.pilot.run
    assert here.hub.library.find(recipe) == here.page.pilot.run
    there.hub.close()


def test_an_address_that_was_tampered_with_says_so(visit: Make, clock: Clock, tmp_path: Path) -> None:
    address = forked(visit).page.state.address
    for past in ("x", address.partition("&past=")[2][:-9], "A" * 400):
        there = elsewhere(tmp_path, clock, f"{address.partition('&past=')[0]}&past={past}")
        there.go()
        there.ask("start")
        there.go()
        assert "does not say how" in there.told("notice")["message"]
        there.hub.close()


# Steps that were thinned out --------------------------------------------------------------------------------------


def thinned(here: Visit, step: int) -> str:
    """Take the pictures of a step out of the shown run's file."""
    import sqlite3

    run = here.page.pilot.run
    here.engine.pause(run)
    here.engine.flush()
    with sqlite3.connect(here.hub.library.path(run)) as file:
        file.execute("DELETE FROM frame WHERE id / 64 = ?", (step,))
        file.execute("DELETE FROM picture WHERE step = ?", (step,))
    return run


def test_a_step_that_was_not_kept_is_computed_again(visit: Make) -> None:
    here = begun(visit)
    run = thinned(here, 20)
    here.go()
    assert all(
        not (first <= 20 <= last and (20 - first) % stride == 0) for first, last, stride in here.told("kept")["steps"]
    )
    here.ask("recompute", step=20)
    here.go(0.6)
    (job,) = json.loads(here.session.frame.jobs)
    assert (job["title"], job["done"], job["total"]) == ("Step 20 is being recomputed", 1, 30)
    here.engine.finish()
    here.go()
    assert any(first <= 20 <= last and (20 - first) % stride == 0 for first, last, stride in here.told("kept")["steps"])
    assert json.loads(here.session.frame.jobs) == []
    with here.hub.library.open(run) as reader:
        assert np.array_equal(decode(reader.frame(20, 1)), picture(20, 1, 32, False))


def test_what_takes_long_can_be_given_up(visit: Make) -> None:
    here = begun(visit)
    run = thinned(here, 20)
    here.ask("recompute", step=20)
    here.go(0.6)
    (job,) = json.loads(here.session.frame.jobs)
    here.ask("cancel", job=job["n"])
    here.engine.finish()
    here.go()
    assert json.loads(here.session.frame.jobs) == []
    assert ("cancel", "recompute") in here.engine.calls
    with here.hub.library.open(run) as reader:
        assert reader.frame(20, 1) is None
    assert here.told("notice") is None


def test_work_ends_with_the_visit(visit: Make) -> None:
    here = begun(visit)
    thinned(here, 20)
    here.ask("recompute", step=20)
    here.session.close()
    assert ("cancel", "recompute") in here.engine.calls


# Pins ------------------------------------------------------------------------------------------------------------


def test_a_pin_and_its_note_are_in_the_run_file(visit: Make) -> None:
    here = begun(visit)
    here.ask("pin", step=5, filter=2)
    settle(here)
    here.ask("pin", step=5, filter=2, note="rings")
    settle(here)
    assert here.told("pins")["pins"] == [[5, 2, "rings"]]
    with here.hub.library.open(here.page.pilot.run) as reader:
        assert reader.pins() == [Pin(5, 2, "rings")]
    here.ask("pin", step=5, filter=None, note="rings", instead=2)  # of all filters from now on
    settle(here)
    here.ask("pin", step=5, filter=1, note="eyes")
    settle(here)
    assert here.told("pins")["pins"] == [[5, None, "rings"], [5, 1, "eyes"]]
    for channel in (1, None):
        here.ask("pin", step=5, filter=channel, on=False)
    settle(here)
    assert here.told("pins")["pins"] == []


# Picture B ---------------------------------------------------------------------------------------------------------


def test_b_is_the_nearest_kept_step_of_any_run_with_its_curve(visit: Make) -> None:
    here = begun(visit)
    first = here.page.pilot.run
    thinned(here, 20)
    here.ask("newseed")
    settle(here.go(0.6, turns=6))
    assert here.page.pilot.run != first
    here.ask("compare", run=first, channel=3, step=20)
    settle(here)
    told = here.told("against")
    assert (told["run"], told["channel"], told["step"]) == (first, 3, 19)
    curve = here.page.curves.other.data
    with here.hub.library.open(first) as reader:
        steps, scores, _ = reader.scores()
    assert np.array_equal(curve["x"], steps)
    assert np.array_equal(curve["y"], scores[:, 3])
    here.ask("compare")
    settle(here)
    assert here.told("against") is None
    assert len(here.page.curves.other.data["x"]) == 0


def test_an_address_with_b_finds_it_and_one_with_nonsense_says_so(visit: Make) -> None:
    first = begun(visit)
    run = first.page.pilot.run
    here = visit(f"{first.page.state.address}&b={run},2,3").arrive()
    settle(here)
    assert (here.told("against")["channel"], here.told("against")["step"]) == (2, 3)
    odd = visit(f"{first.page.state.address}&b=../../etc/passwd,1,1").arrive()
    settle(odd)
    assert odd.told("notice")["message"] == "There is no such run."
    assert odd.told("against") is None


# Sweeps ----------------------------------------------------------------------------------------------------------


def test_a_grid_becomes_runs_of_one_filter_that_are_judged_and_ranked(visit: Make) -> None:
    here = begun(visit)
    here.ask("select", channel=2)
    here.ask("sweep", axes={"blur": "0, 1.5", "decay": "0, 0.1"}, steps=6)
    settle(here.go(1, turns=10), 3)
    told = here.told("sweep")
    assert (told["channel"], len(told["tiles"])) == (2, 4)
    for tile, values in zip(told["tiles"], [(0, 0), (0, 0.1), (1.5, 0), (1.5, 0.1)], strict=True):
        with here.hub.library.open(tile["run"]) as reader:
            assert reader.spec.channels == (2,)
            assert (reader.spec.blur, reader.spec.decay) == values
            assert reader.spec.steps == 6
        assert set(tile["scores"]) == {"activation", "held_out", "total_variation"}
        assert tile["state"] == "done"
    here.ask("sweepuse", run=told["tiles"][3]["run"])
    here.go(0.6, turns=2)
    spec = here.page.pilot.reader.spec
    assert (spec.blur, spec.decay, spec.channels) == (1.5, 0.1, (0, 1, 2, 3))


def test_random_draws_and_the_end_of_a_sweep(visit: Make) -> None:
    here = begun(visit)
    here.ask("sweep", draws=5, seed=1)
    settle(here.go(1, turns=3))
    runs = [tile["run"] for tile in here.told("sweep")["tiles"]]
    assert len(runs) == 5
    here.ask("page", name="library")
    here.go()
    assert {here.engine.states[run].state for run in runs} == {"resting"}  # a hidden sweep costs nothing
    here.ask("page", name="ascent")
    here.go()
    assert {here.engine.states[run].state for run in runs} == {"running"}
    here.ask("sweepclose")
    here.go()
    assert len(here.calls("stop")) == 5
    assert not set(runs) & set(here.engine.states)
    assert here.told("sweep") is None


@pytest.mark.parametrize(
    "wish",
    [
        {"axes": {"blur": "1, x"}}, {"axes": {"blur": "99"}}, {"axes": {"nothing": "1"}}, {"axes": {"blur": ""}},
        {"axes": {"blur": ",".join("0" * 40)}}, {"axes": {"blur": 3}}, {"draws": 65}, {"draws": 0}, {},
        {"axes": {"blur": "0,1", "decay": "0,0.1", "l1": "0,1"}},
    ],
)  # fmt: skip
def test_a_sweep_of_nonsense_is_refused_in_one_sentence(visit: Make, wish: dict[str, object]) -> None:
    here = begun(visit)
    here.ask("sweep", **wish)
    here.go()
    assert here.told("notice")["kind"] == "error"
    assert not here.calls("sweep")


def test_suggested_values_are_values_of_their_parameters() -> None:
    from app.sweeps import numbers

    for name, meta in PARAMS.items():
        if name not in ("size", "steps", "precision"):
            assert len(numbers(name, spread(meta))) >= 2, name


# Exports and opened files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "magic"), [("gif", b"GIF89a"), ("webp", b"RIFF"), ("csv", b"step,"), ("archive", b"PK")]
)
def test_an_export_is_a_file_to_fetch(visit: Make, form: str, magic: bytes) -> None:
    here = begun(visit)
    here.ask("export", run=here.page.pilot.run, form=form, channel=1, first=2, last=9, fps=5)
    settle(here)
    told = json.loads(here.session.frame.fetch)
    path = here.hub.files.path(told["url"].removeprefix("exports/"))
    assert path.read_bytes().startswith(magic)
    assert path.stat().st_size == told["bytes"]


@pytest.mark.parametrize("wish", [{"form": "exe"}, {"form": "gif", "first": 900}, {"form": "gif", "channel": 77}])
def test_an_export_that_cannot_be_leaves_nothing(visit: Make, wish: dict[str, object]) -> None:
    here = begun(visit)
    here.ask("export", run=here.page.pilot.run, **wish)
    settle(here)
    assert here.told("notice")["kind"] == "error"
    assert not here.hub.files._files
    assert not here.session.frame.fetch


def arrive(here: Visit, data: bytes, name: str = "x.png") -> None:
    """A file has been sent."""
    token, path = here.hub.files.new("upload")
    path.write_bytes(data)
    here.ask("opened", token=token, name=name)
    settle(here, 1.5)
    assert here.hub.files.path(token) is None


def test_a_picture_gives_its_run_back(visit: Make) -> None:
    here = begun(visit)
    run, spec = here.page.pilot.run, here.page.pilot.reader.spec
    here.ask("newseed")
    here.go(0.6, turns=3)
    recipe = Recipe(spec, 9, (), 2, extra={"run": run})
    here.ask("page", name="library")
    arrive(here, png_bytes(np.zeros((8, 8, 3), np.uint8), recipe))
    assert here.page.pilot.run == run
    assert here.session.here == "ascent"
    assert json.loads(here.session.frame.lead)["page"] == "ascent"
    assert here.told("shown") == {"channel": 2, "step": 9}


def test_a_picture_of_an_unknown_run_can_be_repeated_with_its_knobs(visit: Make) -> None:
    here = begun(visit)
    spec = build("imagenette-robust", "block1", (4, 5), size=48, seed=77)
    arrive(here, png_bytes(np.zeros((8, 8, 3), np.uint8), Recipe(spec, 3, ((2, "decay", 0.2),), 5)))
    told = here.told("notice")
    assert told["action"] == {"label": "Repeat it", "do": "repeat"}
    here.ask("repeat")
    here.go(0.6, turns=5)
    reader = here.page.pilot.reader
    assert (reader.spec, reader.knobs()) == (spec, [(2, "decay", 0.2)])
    assert here.page.controls.parameters["decay"].value == 0.2
    assert not here.calls("knob")  # nothing turns it back


def test_an_archive_brings_its_runs(visit: Make, tmp_path: Path) -> None:
    from vizcore import archive
    from vizcore.runs import Library

    here = begun(visit)
    other = Library(tmp_path / "other")
    run, writer = other.create(build("digits", "conv1", (1,), size=32, steps=4))
    writer.add(0, picture(0, 1, 32, True)[None], np.ones(1, np.float32), np.ones(1, np.float32), ("ok",))
    writer.close()
    archive.save(tmp_path / "a.zip", other, [run])
    arrive(here, (tmp_path / "a.zip").read_bytes(), "a.zip")
    assert run in [info.id for info in here.hub.library.list()]
    assert here.page.pilot.run == run
    assert here.told("notice")["message"] == "The run is in the library now."
    arrive(here, (tmp_path / "a.zip").read_bytes(), "a.zip")
    assert here.told("notice")["message"] == "The run is in the library already."


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x89PNG\r\n\x1a\n broken", b"PK\x03\x04 broken", b"SQLite format 3\x00" + bytes(200),
     png_bytes(np.zeros((8, 8, 3), np.uint8))],
    ids=["empty", "text", "png", "zip", "sqlite", "png without recipe"],
)  # fmt: skip
def test_other_files_are_refused_in_one_sentence(visit: Make, data: bytes) -> None:
    here = begun(visit)
    before = {info.id for info in here.hub.library.list()}
    arrive(here, data, "../../<b>.png")
    told = here.told("notice")
    assert told["kind"] == "error"
    assert told["message"]
    assert "/" not in told["message"]
    assert {info.id for info in here.hub.library.list()} == before


def test_a_token_that_was_never_given_opens_nothing(visit: Make) -> None:
    here = begun(visit)
    for token in ("", "x" * 22, "../../etc/passwd"):
        here.ask("opened", token=token, name="x")
        here.go(0.1)
        assert here.told("notice")["message"] == "The file has not arrived."
    assert MAX_UPLOAD <= 2**31


def test_an_engine_that_is_gone_is_told(visit: Make) -> None:
    here = begun(visit)
    here.engine.fail["fork"] = EngineError("The engine stopped.", "Try again.")
    here.ask("fork", step=2)
    settle(here)
    assert here.told("notice")["message"] == "The engine stopped."
