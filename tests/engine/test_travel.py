"""Travelling in a run by the engine: steps made anew, forks, forks of forks; in exact arithmetic, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
from engine_helpers import TIMEOUT, in_state, tiny, until

from vizcore import sweep
from vizcore.engine import Engine
from vizcore.errors import HistoryError, SpecError
from vizcore.export import recipe_of
from vizcore.history import RunReader, entries, schema
from vizcore.runs import Library


@pytest.fixture(scope="module")
def engine(library: Library) -> Iterator[Engine]:
    with Engine(library, device="cpu", exact=True) as engine:
        engine.ready.result(TIMEOUT)
        yield engine


def done(engine: Engine, steps: int, **values: object) -> str:
    run = engine.begin(tiny(steps, **values), keep=True).result(TIMEOUT)
    in_state(engine, run, "done")
    return run


def thin(library: Library, run: str, steps: list[int]) -> None:
    """As the writer does it when the run outgrows its bound."""
    with schema.editing(library.path(run)) as connection:
        entries.drop(connection, steps)


def bytes_of(reader: RunReader, step: int) -> list[bytes]:
    return [frame.data for frame in reader.frames(step)]


def test_a_step_that_was_thinned_out_comes_back_bit_for_bit(engine: Engine, library: Library) -> None:
    run = done(engine, 40, size=80)
    engine.knob(run, "rate", 0.2).result(TIMEOUT)
    engine.knob(run, "steps", 70).result(TIMEOUT)
    until(lambda: engine.states[run].step == 70 and engine.states[run].state == "done")
    with library.open(run) as reader:
        steps = [33, 50, 51, 52, 63]
        before = {step: bytes_of(reader, step) for step in steps}
        thin(library, run, steps)
        assert reader.frames(51) == []
        told = engine.recompute(run, 51).result(TIMEOUT)
        assert told == {"run": run, "steps": [51], "identical": True, "difference": 0.0}
        assert bytes_of(reader, 51) == before[51]
        told = engine.recompute(run, 33, 63).result(TIMEOUT)
        assert told["steps"] == [33, 50, 52, 63]
        assert {step: bytes_of(reader, step) for step in steps} == before
        assert engine.recompute(run, 33).result(TIMEOUT)["steps"] == []


def test_what_cannot_be_recomputed_or_forked_is_refused(engine: Engine, library: Library) -> None:
    run = done(engine, 6)
    runs = len(library.list())
    for step in (-1, 7, 10**15):
        with pytest.raises(HistoryError, match="no step"):
            engine.recompute(run, step).result(TIMEOUT)
        with pytest.raises(HistoryError, match="no step"):
            engine.fork(run, step).result(TIMEOUT)
    for bad in ({"channels": [7]}, {"channels": []}, {"knobs": {"size": 64}}, {"knobs": {"rate": -1}}, {"seed": -4}):
        with pytest.raises(SpecError):
            engine.fork(run, 3, **bad).result(TIMEOUT)  # type: ignore[arg-type]
    with pytest.raises(HistoryError, match="no such run"):
        engine.recompute("20200101-000000-000000", 1).result(TIMEOUT)
    with schema.editing(library.path(run)) as connection:
        entries.Meta("weights_hash", '"abc"').apply(connection)
    with pytest.raises(HistoryError, match="weights"):
        engine.recompute(run, 3).result(TIMEOUT)
    assert len(library.list()) == runs


def test_a_fork_without_changes_is_the_parents_continuation(engine: Engine, library: Library) -> None:
    parent = done(engine, 40)
    child = engine.fork(parent, 21, keep=True).result(TIMEOUT)
    in_state(engine, child, "done")
    with library.open(parent) as old, library.open(child) as new:
        assert new.meta["parent"] == [parent, 21]
        assert new.root == 21
        assert new.steps().tolist() == old.steps().tolist() == list(range(41))
        for one, other in zip(new.scores(), old.scores(), strict=True):
            np.testing.assert_array_equal(one, other)
        for step in range(41):
            assert bytes_of(new, step) == bytes_of(old, step)
        own = new._rows("SELECT min(step), count(*) FROM picture")[0]
        assert own == (21, 20)  # the frames before the root are read, not copied
        assert new.checkpoints()[0] == 21


def test_a_fork_of_a_fork_with_some_filters_new_knobs_and_another_seed(engine: Engine, library: Library) -> None:
    top = done(engine, 40, channels="3,5,9")
    middle = engine.fork(top, 10, channels=[9, 3], knobs={"rate": 0.3}, keep=True).result(TIMEOUT)
    in_state(engine, middle, "done")
    leaf = engine.fork(middle, 20, channels=[3], seed=77, keep=True).result(TIMEOUT)
    in_state(engine, leaf, "done")
    above = engine.fork(leaf, 5, keep=True).result(TIMEOUT)  # a step that the topmost run has made
    with library.open(top) as a, library.open(middle) as b, library.open(leaf) as c, library.open(above) as d:
        assert [b.spec.channels, c.spec.channels, d.spec.channels] == [(9, 3), (3,), (3,)]
        assert [b.spec.seed, c.spec.seed, d.spec.seed] == [0, 77, 0]
        assert [c.meta["parent"], d.meta["parent"]] == [[middle, 20], [top, 5]]
        assert c.knobs() == b.knobs() == [(10, "rate", 0.3)]
        for step in (0, 9, 10, 19, 20, 21, 40):
            expected = a if step <= 10 else b if step <= 20 else c
            assert c.frame(step, 3).data == expected.frame(step, 3).data  # type: ignore[union-attr]
        assert b.frame(11, 9).data != a.frame(11, 9).data  # type: ignore[union-attr]
        assert c.frame(21, 3).data != b.frame(21, 3).data  # type: ignore[union-attr]
        assert c.scores(3, 20)[0].tolist() == list(range(4, 24))
        assert c.scores(3, 20)[1][:7, 0].tolist() == a.scores(3, 7)[1][:, 0].tolist()
        assert c.owner(9).path == a.path
        before = {step: bytes_of(c, step) for step in (7, 12, 22)}
        for run, step in ((top, 7), (middle, 12), (leaf, 22)):
            thin(library, run, [step])
        assert [c.frames(step) for step in before] == [[], [], []]
        told = engine.recompute(leaf, 7, 8).result(TIMEOUT)
        assert (told["run"], told["steps"], told["identical"]) == (top, [7], True)
        told = engine.recompute(leaf, 7, 23).result(TIMEOUT)  # through three generations
        assert (told["run"], told["steps"], told["identical"]) == (leaf, [12, 22], True)
        assert {step: bytes_of(c, step) for step in before} == before
        assert len(c.frames(7)) == 1
        assert len(a.frames(7)) == 3


def test_a_recomputation_tells_how_far_it_is_and_can_be_given_up(engine: Engine, library: Library) -> None:
    run = done(engine, 48, channels="0-15", size=112)
    with schema.editing(library.path(run)) as connection:
        connection.execute("DELETE FROM checkpoint WHERE step > 0")
        entries.drop(connection, [45])
    other = engine.begin(tiny(), keep=True).result(TIMEOUT)
    job = engine.recompute(run, 45)
    until(lambda: job.progress[0] > 3)
    assert job.progress[1] == 46
    step = engine.states[other].step
    until(lambda: engine.states[other].step > step + 2)  # the run beside it goes on
    waiting = engine.recompute(run, 46)
    assert waiting.cancel()
    assert job.cancel()
    with pytest.raises(CancelledError):
        job.result(TIMEOUT)
    engine.stop(other).result(TIMEOUT)
    with library.open(run) as reader:
        assert reader.frames(45) == []
    assert engine.recompute(run, 2).result(TIMEOUT)["identical"]


def test_a_sweep_is_runs_that_belong_together_and_can_be_ranked(engine: Engine, library: Library) -> None:
    points = sweep.grid({"rate": [0.01, 0.1, 0.4], "jitter": [0, 4]})
    told = engine.sweep(tiny(12, channels="5"), points).result(TIMEOUT)
    assert told["values"] == points
    for run in told["runs"]:
        in_state(engine, run, "done")
    mine = [info for info in library.list() if info.sweep == told["sweep"]]
    assert {info.id for info in mine} == set(told["runs"])
    rows = []
    for run, point in zip(told["runs"], points, strict=True):
        with library.open(run) as reader:
            assert (reader.spec.rate, reader.spec.jitter) == (point["rate"], point["jitter"])
            assert reader.meta["sweep"]["values"] == point
        [row] = engine.judge(run).result(TIMEOUT)
        assert (row["channel"], row["step"]) == (5, 12)
        rows.append(row)
    assert len({row["activation"] for row in rows}) == 6
    best = max(range(6), key=lambda number: float(rows[number]["activation"]))
    assert engine.judge(told["runs"][best], 0).result(TIMEOUT)[0]["activation"] < rows[best]["activation"]
    with pytest.raises(HistoryError, match="no pictures"):
        engine.judge(told["runs"][0], 99).result(TIMEOUT)
    with pytest.raises(SpecError, match="one filter"):
        engine.sweep(tiny(12), points).result(TIMEOUT)
    with pytest.raises(SpecError):
        engine.sweep(tiny(12, channels="5"), [{"rate": -1}]).result(TIMEOUT)


def test_a_recipe_is_repeated_with_its_knobs(engine: Engine, library: Library) -> None:
    run = done(engine, 12)
    engine.knob(run, "rate", 0.3).result(TIMEOUT)
    engine.knob(run, "steps", 20).result(TIMEOUT)
    until(lambda: engine.states[run].step == 20)
    in_state(engine, run, "done")
    with library.open(run) as reader:
        again = engine.begin(reader.spec, keep=True, knobs=reader.knobs()).result(TIMEOUT)
        until(lambda: engine.states[again].step == 20)
        in_state(engine, again, "done")
        with library.open(again) as other:
            assert other.knobs() == reader.knobs()
            for one, two in zip(other.scores(), reader.scores(), strict=True):
                np.testing.assert_array_equal(one, two)
    with pytest.raises(SpecError):
        engine.begin(tiny(5), knobs=[(3, "size", 64)]).result(TIMEOUT)


PATIENT = pytest.mark.skipif(not os.environ.get("VIZCORE_SLOW"), reason="takes minutes; set VIZCORE_SLOW=1")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=[pytest.mark.slow, PATIENT])])
def test_an_engine_killed_while_it_records_loses_nothing(library: Library, kills: int) -> None:
    """Killed at random moments: what a reader had seen stays, the run opens, goes on, and can be forked."""
    chance = random.Random(20261121)
    with Engine(library, device="cpu", exact=True) as engine:
        run = engine.begin(tiny(channels="0-3"), keep=True).result(TIMEOUT)
        with library.open(run) as reader:
            seen: dict[int, list[bytes]] = {}
            for _ in range(kills):
                engine._deaths.clear()  # or it would give up after the third, and blame the run after the second
                engine._culprits.clear()
                step = int(reader.latest() or 0)
                until(lambda step=step: (reader.latest() or 0) > step + 2)
                time.sleep(chance.uniform(0, 0.3))
                for kept in reader.steps().tolist():
                    if kept < 32 or kept % 16 == 0:  # any other may be shown in passing only
                        seen.setdefault(kept, bytes_of(reader, kept))
                pid = engine.pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                until(lambda pid=pid: engine.pid not in (None, pid))
                with library.open(run) as again:
                    for kept, pictures in seen.items():
                        assert bytes_of(again, kept) == pictures
                    numbers = again.scores()[0]
                    assert numbers.tolist() == list(range(len(numbers)))
        until(lambda: engine.states[run].step > max(seen) + 2)
        root = engine.pause(run).result(TIMEOUT) - 1
        fork = engine.fork(run, root, keep=True).result(TIMEOUT)
        until(lambda: engine.states[fork].step > root + 2)
        with library.open(fork) as child, library.open(run) as parent:
            assert child.frames(min(seen)) == parent.frames(min(seen))
        for one in (run, fork):
            engine.stop(one).result(TIMEOUT)


def test_a_child_that_is_killed_before_it_has_taken_a_run_up_is_followed_by_one_that_does(library: Library) -> None:
    with Engine(library, device="cpu", exact=True) as engine:
        run = engine.begin(tiny(), keep=True).result(TIMEOUT)
        until(lambda: engine.states[run].step > 2)
        for _ in range(2):  # the second one while the new child still loads torch
            engine._culprits.clear()
            pid = engine.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: engine.pid not in (None, pid))
        step = engine.states[run].step
        until(lambda: engine.states[run].step > step + 2)
        engine.stop(run).result(TIMEOUT)


def test_a_fork_is_repeated_with_what_it_comes_from_or_given_up(engine: Engine, library: Library) -> None:
    top = done(engine, 40, channels="3,5")
    fork = engine.fork(top, 25, channels=[5], settings={"optimizer": "ascent", "seed": 4}, keep=True).result(TIMEOUT)
    in_state(engine, fork, "done")
    leaf = engine.fork(fork, 30, knobs={"rate": 0.3}, settings={"optimizer": "adam"}, keep=True).result(TIMEOUT)
    in_state(engine, leaf, "done")
    with library.open(leaf) as old:
        recipe = recipe_of(old, 40, 5)
        again = engine.repeat(recipe.spec, recipe.knobs, recipe.above, keep=True).result(TIMEOUT)
        in_state(engine, again, "done")
        with library.open(again) as new:
            assert recipe_of(new, 40, 5).above == recipe.above
            for step in (3, 24, 25, 29, 30, 40):
                assert bytes_of(new, step) == [old.frame(step, 5).data]  # type: ignore[union-attr]
    assert {info.id for info in library.list() if info.parent and info.parent[1] == 30} == {again, leaf}

    before = {info.id for info in library.list()}
    ancestor = replace(recipe.above[0], spec=recipe.above[0].spec.replace(steps=8192), step=8000)
    spec = recipe.above[0].spec.replace(steps=8192, seed=9)
    job = engine.repeat(spec, [], [ancestor])
    until(lambda: job.progress[0] > 5)
    assert job.cancel()
    until(lambda: {info.id for info in library.list()} == before)
