"""Travelling in a run by the engine: steps made anew, forks, forks of forks; in exact arithmetic, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError

import numpy as np
import pytest
from engine_helpers import TIMEOUT, in_state, tiny, until

from vizcore.engine import Engine
from vizcore.errors import HistoryError, SpecError
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
        thin(library, top, [7])
        told = engine.recompute(leaf, 7, 8).result(TIMEOUT)
        assert (told["run"], told["steps"], told["identical"]) == (top, [7], True)
        assert len(c.frames(7)) == 1
        assert len(a.frames(7)) == 3


def test_a_recomputation_tells_how_far_it_is_and_can_be_given_up(engine: Engine, library: Library) -> None:
    run = done(engine, 64, channels="0-31", size=128)
    with schema.editing(library.path(run)) as connection:
        connection.execute("DELETE FROM checkpoint WHERE step > 0")
        entries.drop(connection, [60])
    other = engine.begin(tiny(), keep=True).result(TIMEOUT)
    job = engine.recompute(run, 60)
    until(lambda: job.progress[0] > 3)
    assert job.progress[1] == 61
    step = engine.states[other].step
    until(lambda: engine.states[other].step > step + 2)  # the run beside it goes on
    waiting = engine.recompute(run, 61)
    assert waiting.cancel()
    assert job.cancel()
    with pytest.raises(CancelledError):
        job.result(TIMEOUT)
    engine.stop(other).result(TIMEOUT)
    with library.open(run) as reader:
        assert reader.frames(60) == []
    assert engine.recompute(run, 2).result(TIMEOUT)["identical"]
