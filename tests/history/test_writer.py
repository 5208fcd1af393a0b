"""Which pictures stay, how soon they are there, and that no number ever carries another step's picture."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import fill, pictures, spec

from vizcore.ascent import ascend
from vizcore.errors import HistoryError
from vizcore.history import RunReader, RunWriter, checkpoint_every, codec, decode, kept_ranges, stride
from vizcore.history.schema import PASSING
from vizcore.history.thinning import checkpoint_bytes
from vizcore.spec import build
from vizcore.zoo.load import load

ACTIONS = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 20)),
    st.tuples(st.just("scores"), st.integers(1, 5)),
    st.tuples(st.just("knob"), st.sampled_from([0.01, 0.5])),
    st.tuples(st.just("checkpoint"), st.just(0)),
    st.tuples(st.just("back"), st.integers(1, 30)),
    st.tuples(st.just("rewind"), st.integers(1, 30)),
    st.tuples(st.just("flush"), st.just(0)),
    st.tuples(st.just("reopen"), st.just(0)),
)


@given(actions=st.lists(ACTIONS, max_size=25), gap=st.sampled_from([1, 4]), data=st.data())
@settings(max_examples=40, deadline=None)
def test_whatever_happens_each_number_has_its_own_picture(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int]], gap: int, data: st.DataObject
) -> None:
    """A model of the file in dicts: ``version`` counts how often history was rewritten, as after a rollback."""
    path = tmp_path_factory.mktemp("run") / "a.vizrun"
    writer = RunWriter.create(path, spec(steps=4000))
    writer._journal.stride = gap
    scores: dict[int, int] = {}
    shown: dict[int, int] = {}  # step -> seed of the newest picture that was given for it
    knobs: list[tuple[int, str, float]] = []
    checkpoints: set[int] = set()
    step, version = -1, 0
    for action, value in actions:
        if action in ("add", "scores"):
            for _ in range(value):
                step += 1
                seed = step + 10_000 * version
                numbers = (np.arange(3) + seed, np.full(3, 0.5))
                if scores.get(step, seed) != seed:
                    for known in (scores, shown):
                        for late in [s for s in known if s >= step]:
                            del known[late]
                    checkpoints = {s for s in checkpoints if s <= step}
                scores[step] = seed
                if action == "add":
                    writer.add(step, pictures(seed), *numbers)
                    shown[step] = seed
                else:
                    writer.add_scores(step, *numbers)
        elif action == "knob":
            at = max(step, 0)
            writer.knob(at, "rate", value)
            knobs = [turn for turn in knobs if turn[0] <= at] + [(at, "rate", value)]
        elif action == "checkpoint" and step >= 0:
            writer.checkpoint(step, {"step": np.array(step)})
            checkpoints.add(step)
        elif action in ("back", "rewind"):
            step = max(step - value, -1)
            version += data.draw(st.integers(0, 1)) if action == "back" else 1
            if action == "rewind":
                writer.rewind(step)
                scores = {s: v for s, v in scores.items() if s <= step}
                shown = {s: v for s, v in shown.items() if s <= step}
                knobs = [turn for turn in knobs if turn[0] <= step]
                checkpoints = {s for s in checkpoints if s <= step}
        elif action == "flush":
            writer.flush()
        elif action == "reopen":
            writer.close()
            writer = RunWriter.open(path)
            writer._journal.stride = gap
    writer.close()
    with RunReader(path) as reader:
        kept = reader.steps().tolist()
        assert set(kept) <= set(shown)
        assert set(kept) >= {s for s in shown if s < 32 or s % gap == 0}
        for number in kept:
            stored = np.stack([decode(frame) for frame in reader.frames(number)])
            np.testing.assert_array_equal(stored, pictures(shown[number]))
        assert reader.scores()[0].tolist() == sorted(scores)
        assert reader.scores()[1][:, 0].tolist() == [scores[s] for s in sorted(scores)]
        assert reader.knobs() == knobs
        assert reader.checkpoints() == sorted(checkpoints)


def test_thinning_keeps_what_is_never_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZCORE_RUN_MIB", "1")
    path = tmp_path / "a.vizrun"
    with RunWriter.create(path, spec(steps=64)) as writer:
        assert writer.stride == 1
        for begin in range(0, 1000, 50):  # much longer than planned
            fill(writer, range(begin, begin + 50))
            writer.knob(begin + 49, "steps", begin + 200)
            if begin == 0:
                writer.pin(41)  # it is in the file by now
            if begin == 300:
                fill(writer, range(350, 354))
                writer.checkpoint(353, {"a": np.ones(1)})
            writer.flush()
        final = writer.stride
    assert final > 1
    assert path.stat().st_size <= 1.1 * 2**20  # the pages of one commit on top
    with RunReader(path) as reader:
        steps = reader.steps().tolist()
        assert set(steps) >= {*range(32), *range(49, 1000, 50), 41, 353, 999}
        others = [s for s in steps if s >= 32 and (s + 1) % 50 and s not in (41, 353)]
        assert all(s % final == 0 for s in others)
        assert len(others) > 50
        assert len(reader.scores()[0]) == 1000
        for step in steps[::10]:
            np.testing.assert_array_equal(np.stack([decode(f) for f in reader.frames(step)]), pictures(step))
    with RunWriter.open(path) as writer:
        assert writer.stride == final


def test_a_slow_encoder_costs_pictures_not_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = codec.encode

    def slow(image: np.ndarray, lossless: bool) -> tuple[int, bytes]:
        time.sleep(0.001)
        return encode(image, lossless)

    monkeypatch.setattr(codec, "encode", slow)
    monkeypatch.setattr("vizcore.history.journal.BUDGET", 20 * pictures(0).nbytes)
    path = tmp_path / "a.vizrun"
    fullest = 0
    with RunWriter.create(path, spec(steps=8000)) as writer:
        for step in range(600):
            fill(writer, range(step, step + 1))
            fullest = max(fullest, writer._journal._waiting)
            if step in (207, 413):
                writer.knob(step, "rate", 0.1)
    assert fullest <= 20 * pictures(0).nbytes
    with RunReader(path) as reader:
        steps = reader.steps().tolist()
        assert set(steps) >= {*range(32), 207, 413, 599}
        assert len(steps) < 500
        assert len(reader.scores()[0]) == 600
        for step in steps:
            np.testing.assert_array_equal(np.stack([decode(f) for f in reader.frames(step)]), pictures(step))


def test_the_newest_picture_shows_even_if_it_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.vizrun"
    with RunWriter.create(path, spec(steps=8000)) as writer, RunReader(path) as reader:
        writer._journal.stride = 1024
        fill(writer, range(40))
        writer._journal.flush()
        time.sleep(0.05)
        fill(writer, range(40, 41))
        writer._journal.flush()
        assert reader.latest() == 40
        time.sleep(1.1)
        for step in (41, 42, 43):
            fill(writer, range(step, step + 1))
            writer._journal.flush()
            time.sleep(0.05)
        assert reader.latest() == 43
        assert 40 not in reader.steps()
        fill(writer, range(44, 45))
        writer.set_state("paused")
        writer._journal.flush()
        assert reader.latest() == 44
        kept = dict(writer._journal._connection.execute("SELECT step, kept FROM picture").fetchall())
        assert kept[44] == PASSING


def test_all_filters_of_a_step_appear_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.vizrun"
    seen: list[int] = []
    with RunWriter.create(path, spec()) as writer, RunReader(path) as reader:
        adder = threading.Thread(target=fill, args=(writer, range(300)))
        adder.start()
        while adder.is_alive() or not seen or seen[-1] < 299:
            latest = reader.latest()
            if latest is None:
                continue
            frames = reader.frames(latest)
            assert len(frames) == 3
            assert [f.score for f in frames] == [latest, latest + 1, latest + 2]
            seen.append(latest)
    assert seen == sorted(seen)


def test_first_last_and_every_50th_are_lossless(tmp_path: Path) -> None:
    path = tmp_path / "a.vizrun"
    with RunWriter.create(path, spec(size=80, steps=103)) as writer:
        for step in range(104):
            writer.add(step, pictures(step, size=80), np.zeros(3), np.zeros(3))
    with RunReader(path) as reader:
        lossless = [s for s in reader.steps().tolist() if all(f.lossless for f in reader.frames(s))]
        assert lossless == [0, 50, 100, 103]
        for step in lossless:
            np.testing.assert_array_equal(np.stack([decode(f) for f in reader.frames(step)]), pictures(step, size=80))
        assert {f.codec for f in reader.frames(1)} == {"image/jpeg"}


def test_a_stored_step_keeps_its_bytes_within_a_revision(tmp_path: Path) -> None:
    """Browsers keep them for ever: neither the end of a run nor one that is taken up again may store others."""
    path = tmp_path / "a.vizrun"

    def add(writer: RunWriter, steps: range) -> None:
        for step in steps:
            writer.add(step, pictures(step, size=80), np.arange(3) + step, np.ones(3))

    with RunWriter.create(path, spec(size=80, steps=60)) as writer, RunReader(path) as reader:
        add(writer, range(41))
        writer.flush()
        seen = {step: [f.data for f in reader.frames(step)] for step in range(41)}
        writer.set_state("done")
        writer.flush()
        assert [f.data for f in reader.frames(40)] == seen[40]
    with RunWriter.open(path) as writer:  # killed at 40, goes on from a checkpoint at 30, and ends at 40 now
        writer.knob(30, "steps", 40)
        add(writer, range(31, 41))
    with RunReader(path) as reader:
        assert reader.revision == 0
        assert {step: [f.data for f in reader.frames(step)] for step in range(41)} == seen


def test_the_last_picture_is_stored_lossless_if_it_was_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "a.vizrun"
    with RunWriter.create(path, spec(size=80, steps=4000)) as writer:
        writer._journal.stride = 64
        for step in range(40):
            writer.add(step, pictures(step, size=80), np.zeros(3), np.zeros(3))
            writer._shown = time.monotonic()  # no passing pictures
    with RunReader(path) as reader:
        assert reader.steps().tolist() == [*range(32), 39]
        assert all(frame.lossless for frame in reader.frames(39))


def test_images_belong_to_the_writer(tmp_path: Path) -> None:
    """The caller may use its buffer again at once."""
    path = tmp_path / "a.vizrun"
    buffer, state = pictures(0), {"a": np.ones(4)}
    with RunWriter.create(path, spec()) as writer:
        writer.add(0, buffer, np.zeros(3), np.zeros(3))
        writer.checkpoint(0, state)
        buffer[:] = 0
        state["a"][:] = 0
    with RunReader(path) as reader:
        np.testing.assert_array_equal(np.stack([decode(f) for f in reader.frames(0)]), pictures(0))
        assert (reader.checkpoint_at(0)[1]["a"] == 1).all()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "a.vizrun", spec()) as writer:
        for images, scores, step in [
            (pictures(0).astype(np.float32), np.zeros(3), 0),
            (pictures(0, channels=2), np.zeros(3), 0),
            (pictures(0, colours=4), np.zeros(3), 0),
            (pictures(0), np.zeros(2), 0),
            (pictures(0), np.zeros(3), -1),
        ]:
            with pytest.raises(HistoryError):
                writer.add(step, images, scores, np.zeros(3))
    with pytest.raises(HistoryError, match="closed"):
        writer.add(0, pictures(0), np.zeros(3), np.zeros(3))


@given(st.sets(st.integers(0, 500)))
def test_ranges_say_exactly_the_steps(steps: set[int]) -> None:
    ranges = kept_ranges(sorted(steps))
    assert [s for first, last, gap in ranges for s in range(first, last + 1, gap)] == sorted(steps)


def test_ranges_of_a_thinned_run_are_few() -> None:
    assert kept_ranges([*range(32), *range(32, 257, 4)]) == [[0, 32, 1], [36, 256, 4]]
    assert kept_ranges([]) == []
    assert kept_ranges([7]) == [[7, 7, 1]]


@given(channels=st.integers(1, 64), size=st.integers(1, 32), steps=st.integers(1, 8192), mib=st.integers(64, 4096))
def test_stride_is_the_smallest_that_fits(channels: int, size: int, steps: int, mib: int) -> None:
    run = spec(size=16 * size, steps=steps).replace(channels=tuple(range(channels)))
    found = stride(run, mib * 2**20)
    assert found & (found - 1) == 0

    def cost(gap: int) -> float:
        each = channels * ((2 if 16 * size <= 64 else 1) * (16 * size) ** 2 + 700)
        return (min(32, steps) + max(0, steps - 32) // gap) * each

    assert cost(found) <= 0.375 * mib * 2**20 or found >= steps
    assert found == 1 or cost(found // 2) > 0.375 * mib * 2**20


@given(
    channels=st.integers(1, 64), size=st.integers(1, 32), steps=st.integers(1, 8192), mib=st.integers(64, 4096),
    preset=st.sampled_from(["Crisp", "Raw", "Paper 1"]),
)  # fmt: skip
def test_checkpoints_are_as_close_as_their_share_allows(
    channels: int, size: int, steps: int, mib: int, preset: str
) -> None:
    run = build("digits", "conv2", range(channels), preset=preset, size=16 * size, steps=steps)
    side = 16 * size
    values = side * (side // 2 + 1) * 2 if preset == "Crisp" else side * side
    each = channels * 3 * values * 4 * (1 if preset == "Paper 1" else 3)
    every = checkpoint_every(run, limit=mib * 2**20)

    def share(gap: int) -> float:
        return (-(-steps // gap) + 1) * each / (mib * 2**20)

    assert every >= 32
    assert share(every) <= 0.625 or every >= steps
    assert every == 32 or share(every - 1) > 0.625 or every == steps


def test_a_thinned_step_of_a_long_run_is_computed_again_in_five_seconds() -> None:
    """16 filters, 128 px, 2,000 steps of 70 ms (two cores), within the 512 MiB of a run."""
    run = build("imagenette-robust", "block2", "0-15", size=128, steps=2000)
    assert checkpoint_every(run) * 0.070 <= 5
    pictures = (32 + (2000 - 32) // stride(run)) * 16 * 1.13 * 128**2  # bytes of finished pictures, as measured
    checkpoints = (2000 // checkpoint_every(run) + 1) * 3 * 16 * 3 * 128 * 65 * 2 * 4
    assert pictures + checkpoints <= 512 * 2**20


def test_what_a_checkpoint_takes_is_what_the_ascent_gives() -> None:
    network = load("imagenette-robust")
    for preset in ("Crisp", "Raw", "Paper 1"):
        run = build("imagenette-robust", "stem", "0-3", preset=preset, size=64)
        arrays = ascend(run, network).checkpoint()
        assert sum(array.nbytes for array in arrays.values()) == pytest.approx(checkpoint_bytes(run), rel=0.01), preset


def test_another_course_of_events_forgets_the_old_pictures(tmp_path: Path) -> None:
    """After a rollback a step may come again with other scores and no picture: the old one must not stand for it."""
    path = tmp_path / "a.vizrun"
    with RunWriter.create(path, spec()) as writer:
        fill(writer, range(10))
        writer.checkpoint(9, {"a": np.ones(1)})
    with RunWriter.open(path) as writer:
        writer.add_scores(5, np.arange(3) + 5, np.full(3, 0.5))  # the same again: a run continued from its checkpoint
        writer.flush()
        with RunReader(path) as reader:
            assert reader.steps().tolist() == list(range(10))
            assert reader.revision == 0
        writer.add_scores(5, np.zeros(3), np.zeros(3))
        writer.flush()
        with RunReader(path) as reader:
            assert reader.revision == 1
            assert reader.steps().tolist() == list(range(5))
            assert reader.scores()[0].tolist() == list(range(6))
            assert reader.checkpoints() == []


def test_each_rewind_that_forgets_something_is_another_revision(tmp_path: Path) -> None:
    path = tmp_path / "a.vizrun"
    with RunWriter.create(path, spec()) as writer, RunReader(path) as reader:
        for last, revision in ((9, 0), (4, 1), (4, 1), (2, 2)):
            if revision or last != 9:
                writer.rewind(last)
            else:
                fill(writer, range(10))
            writer.flush()
            assert reader.revision == revision
            assert reader.scores()[0].tolist() == list(range(last + 1))
            assert reader.scores(limit=2)[0].tolist() == [0, 1]


def test_a_picture_that_the_stride_overtook_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, go = codec.encode, threading.Event()

    def patient(image: np.ndarray, lossless: bool) -> tuple[int, bytes]:
        go.wait(10)
        return encode(image, lossless)

    monkeypatch.setattr(codec, "encode", patient)
    with RunWriter.create(tmp_path / "a.vizrun", spec()) as writer:
        fill(writer, range(40))
        writer._journal.stride = 2
        go.set()
    with RunReader(tmp_path / "a.vizrun") as reader:
        assert reader.steps().tolist() == [*range(32), 32, 34, 36, 38, 39]
