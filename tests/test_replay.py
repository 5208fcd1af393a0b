"""For random knob logs, bit for bit: a replay is what was recorded, a fork without changes what went on."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import network, tiny_spec
from vizcore import replay
from vizcore.ascent import ascend
from vizcore.engine.devices import environment
from vizcore.errors import HistoryError, StorageError
from vizcore.history import RunReader, RunWriter, entries, schema
from vizcore.history.recall import recall
from vizcore.params import Value
from vizcore.spec import Knobs, RunSpec

T = TypeVar("T")
NET = network()
TURNS = st.one_of(
    st.tuples(st.just("rate"), st.sampled_from([0.01, 0.3])),
    st.tuples(st.just("jitter"), st.integers(0, 4)),
    st.tuples(st.just("rotate"), st.sampled_from([0.0, 20.0])),
    st.tuples(st.just("blur"), st.sampled_from([0.0, 0.8])),
    st.tuples(st.just("small_contribution"), st.sampled_from([0.0, 60.0])),
    st.tuples(st.just("tv"), st.sampled_from([0.0, 0.01])),
    st.tuples(st.just("steps"), st.integers(12, 40)),
)


def finish(work: Generator[replay.Progress, None, T]) -> T:
    while True:
        try:
            done, total = next(work)
            assert 1 <= done <= total
        except StopIteration as end:
            result: T = end.value
            return result


def record(
    path: Path, spec: RunSpec, turns: dict[int, list[tuple[str, Value]]], checkpoints: set[int], root: object = None
) -> None:
    """As the engine does it, in exact arithmetic."""
    branch = root if isinstance(root, replay.Branch) else None
    knobs = Knobs(spec, branch.log if branch else ())
    ascent = ascend(spec, NET, knobs, exact=True, state=branch.state if branch else None)
    facts = {**environment("cpu", True), "precision": ascent.precision}
    parent, shared = (branch.parent, branch.shared) if branch else (None, None)
    with RunWriter.create(path, spec, environment=facts, parent=parent, shared=shared) as writer:
        for turn in knobs.log:
            writer.knob(*turn)
        writer.checkpoint(ascent.step, ascent.checkpoint())
        for frame in ascent:
            assert frame.images is not None
            writer.add(frame.step, frame.images, frame.scores, frame.gradient_norms, frame.status)
            if ascent.step in checkpoints:
                writer.checkpoint(ascent.step, ascent.checkpoint())
            for name, value in turns.pop(ascent.step, []):
                writer.knob(ascent.step, name, knobs.set(ascent.step, name, value))
            writer.flush()
        writer.set_state("done")


@given(
    turns=st.dictionaries(st.integers(1, 20), st.lists(TURNS, min_size=1, max_size=3), max_size=5),
    checkpoints=st.sets(st.integers(1, 20), max_size=3),
    preset=st.sampled_from(["Crisp", "Classic", "Paper 1"]),
    data=st.data(),
)
@settings(max_examples=12, deadline=None)
def test_what_is_replayed_is_what_was_recorded(
    tmp_path_factory: pytest.TempPathFactory,
    turns: dict[int, list[tuple[str, Value]]],
    checkpoints: set[int],
    preset: str,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    path = folder / "20260101-000000-aaaaaa.vizrun"
    record(path, tiny_spec(preset=preset, steps=14), turns, checkpoints)
    with RunReader(path) as reader:
        verdict = finish(replay.verify(reader, NET))
        assert verdict.identical
        assert verdict.environment == ()
        newest = int(reader.scores()[0][-1])
        assert (verdict.steps, verdict.pictures) == (newest + 1, 4 * (newest + 1))
        # Steps that were thinned out come back with the same bytes.
        first = data.draw(st.integers(0, newest))
        last = data.draw(st.integers(first, newest))
        before = {step: reader.frames(step) for step in range(newest + 1)}
        with schema.editing(path) as connection:
            entries.drop(connection, list(range(first, last + 1)))
        made = finish(replay.remake(reader, NET, first, last))
        assert (made.steps, made.identical) == (tuple(range(first, last + 1)), True)
        assert {step: reader.frames(step) for step in range(newest + 1)} == before
        # A fork behind the last turn goes on as its parent did.
        root = data.draw(st.integers(max([0, *(step for step, _, _ in reader.knobs())]), newest))
        branch = finish(replay.branch(reader, NET, root))
        other = folder / "20260101-000000-bbbbbb.vizrun"
        record(other, branch.spec, {}, set(), branch)
        with RunReader(other) as fork:
            for one, two in zip(fork.scores(), reader.scores(), strict=True):
                np.testing.assert_array_equal(one, two)
            assert {step: fork.frames(step) for step in range(newest + 1)} == before


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "20260101-000000-aaaaaa.vizrun"
    record(path, tiny_spec(steps=12), {}, {6})
    return path


def edit(path: Path, query: str, *values: object) -> None:
    with schema.editing(path) as connection:
        connection.execute(query, values)


def test_the_first_step_that_differs_is_named_with_what_is_not_as_it_was(run: Path) -> None:
    edit(run, "UPDATE step SET scores = ? WHERE step >= 7", np.full(4, 2.0, "<f4").tobytes())
    facts = json.dumps({**environment("cpu", True), "torch": "1.0", "precision": "fp32"})
    edit(run, "UPDATE meta SET value = ? WHERE key = 'environment'", facts)
    with RunReader(run) as reader:
        verdict = finish(replay.verify(reader, NET))
    assert (verdict.identical, verdict.first_difference, verdict.steps) == (False, 7, 13)
    assert verdict.score_difference > 0
    assert verdict.picture_difference == 0
    assert [entry["name"] for entry in verdict.environment] == ["torch"]


def test_a_picture_that_differs_is_found_too(run: Path) -> None:
    with RunReader(run) as reader:
        other = reader.frame(9, 0)
        assert other is not None
        edit(run, "UPDATE frame SET data = ? WHERE id = ?", other.data, 3 * schema.ROWS)
        verdict = finish(replay.verify(reader, NET))
        assert (verdict.first_difference, verdict.score_difference) == (3, 0.0)
        assert verdict.picture_difference > 0
        # A checkpoint that is not what it was: the steps behind it are, and say so.
        edit(run, "UPDATE checkpoint SET state = (SELECT state FROM checkpoint WHERE step = 0) WHERE step = 6")
        edit(run, "DELETE FROM checkpoint WHERE step = 0")
        edit(run, "DELETE FROM picture WHERE step = 8")
        with pytest.raises(HistoryError, match="checkpoint"):
            finish(replay.verify(reader, NET))


def test_numbers_that_differ_are_told_with_the_pictures(run: Path) -> None:
    edit(run, "UPDATE step SET scores = ? WHERE step = 7", np.full(4, 2.0, "<f4").tobytes())
    with schema.editing(run) as connection:
        entries.drop(connection, [8])
    with RunReader(run) as reader:
        made = finish(replay.remake(reader, NET, 8))
    assert (made.steps, made.identical) == ((8,), False)
    assert made.difference > 0


def iter_recalls(path: Path, images: np.ndarray) -> Generator[replay.Progress, None, None]:
    """More steps that belong together than the bound has room for."""
    for step in range(20, 40):
        recall(path, step, images, 0, since=20)
        yield step - 19, 20


def test_recalled_pictures_keep_to_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZCORE_RUN_MIB", "1")
    path = tmp_path / "a.vizrun"
    images = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), np.uint8)  # 4 × some 33 KiB
    with RunWriter.create(path, tiny_spec(size=128, steps=100)) as writer:
        for step in range(60):
            writer.add_scores(step, np.zeros(4), np.zeros(4))
    for step in range(20):
        assert recall(path, step, images, 0)
        assert path.stat().st_size <= 2**20 + 2**18
    with pytest.raises(StorageError, match="bound") as caught:  # what belongs together is not given up one for another
        finish(iter_recalls(path, images))
    assert "fewer steps" in caught.value.hint
    with RunReader(path) as reader:
        there = reader.steps().tolist()
        assert there == list(range(20, there[-1] + 1))
        assert len(there) >= 4
        assert reader.frames(0) == []
        edit(path, "UPDATE picture SET kept = 3 WHERE step = 20")  # shown in passing: it would go
        assert not reader.stays(20)
        assert recall(path, 20, images, 0, since=20)
        assert reader.stays(20)
    edit(path, "UPDATE picture SET kept = 2")  # pinned ones stay, so there is no room
    with pytest.raises(StorageError, match="bound"):
        recall(path, 19, images, 0)
    with pytest.raises(HistoryError, match="made anew"):
        recall(path, 50, images, 1)
    with pytest.raises(HistoryError, match="made anew"):
        recall(path, 70, images, 0)
    with RunWriter.open(path) as writer:  # whoever writes on makes room with them first
        edit(path, "UPDATE picture SET kept = 4")
        for step in range(60, 80):
            writer.add(step, images, np.zeros(4), np.zeros(4))
    with RunReader(path) as reader:
        assert reader._rows("SELECT count(*) FROM picture WHERE kept = 4") == [(0,)]
        assert {64, 79} <= set(reader.steps().tolist())


@pytest.mark.parametrize(("preset", "optimizer"), [("Paper 3", "adam"), ("Classic", "ascent")])
def test_a_fork_with_another_optimizer_is_replayed_from_any_checkpoint(
    tmp_path: Path, preset: str, optimizer: str
) -> None:
    path, other = (tmp_path / f"20260101-000000-{letter * 6}.vizrun" for letter in "ab")
    record(path, tiny_spec(preset=preset, steps=14), {3: [("decay", 0.2)]}, set())
    settings = {"optimizer": optimizer, "policy": "constant", "objective": "-channel", "seed": 5}
    with RunReader(path) as reader:
        branch = finish(replay.branch(reader, NET, 5, channels=[2, 0], knobs={"rate": 0.2}, settings=settings))
        assert branch.spec == reader.spec.replace(channels=(2, 0), **settings)
        before = reader.frame(4, 2)
    record(other, branch.spec, {}, {9}, branch)
    with RunReader(other) as fork:
        assert fork.frame(4, 2) == before
        assert finish(replay.verify(fork, NET)).identical
        pictures = fork.frames(12)
        with schema.editing(other) as connection:
            entries.drop(connection, [12])
        assert finish(replay.remake(fork, NET, 12)).identical  # from the checkpoint of step 9
        assert fork.frames(12) == pictures
