"""Travelling in runs: opening, showing and recomputing steps, a large library, films."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Result, measured, percentile
from vizcore.history import RunReader, RunWriter, checkpoint_every, entries, pack, schema
from vizcore.runs import Library
from vizcore.spec import RunSpec, build

MODEL, LAYER, FILTERS, SIZE, STEPS = "imagenette-robust", "block2", "0-15", 128, 2000
RUNS = 2000


def timed(work: Callable[[], Any]) -> float:
    """Seconds that ``work`` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def pictures(count: int, size: int, step: int) -> np.ndarray:
    """Smooth coloured noise ``[N, H, W, 3]`` that moves with the step: about as costly to encode as real pictures."""
    random = np.random.default_rng(0)
    coarse = random.random((count, 24, 24, 3))
    at = (np.arange(size) * 24 / size + step / 40) % 24
    low, share = at.astype(int), (at % 1)[None, :, None, None]
    rows = coarse[:, low] * (1 - share) + coarse[:, (low + 1) % 24] * share
    share = share.transpose(0, 2, 1, 3)
    image = rows[:, :, low] * (1 - share) + rows[:, :, (low + 1) % 24] * share
    grain = random.normal(0, 0.03, image.shape)
    return ((image + grain).clip(0, 1) * 255).astype(np.uint8)


def recorded(path: Path, spec: RunSpec, checkpoints: bool = True) -> None:
    """A run file as the engine leaves it, with checkpoints of the size of real ones."""
    count = len(spec.channels)
    state = {name: np.zeros((count, 3, spec.size, spec.size), np.float32) for name in ("parameter", "adam_m", "adam_v")}
    some = [pictures(count, spec.size, step) for step in range(16)]
    with RunWriter.create(path, spec, weights_hash="benchmark") as writer:
        for step in range(spec.steps + 1):
            writer.add(step, some[step % 16], np.full(count, step), np.ones(count))
            if checkpoints and step % checkpoint_every(spec) == 0:
                writer.checkpoint(step, state)
            while writer._journal.load > 0.25:  # else it would leave pictures out
                time.sleep(0.005)
        writer.set_state("done")


def library(repeats: int = 7) -> list[Result]:
    """2,000 runs listed: by a new process that finds an index, and by one that has listed them before."""
    with tempfile.TemporaryDirectory() as folder:
        home = Library(folder)
        run, writer = home.create(build("digits", "conv1", "0-3", size=32, steps=8))
        with writer:
            for step in range(9):
                writer.add(step, pictures(4, 32, step), np.zeros(4), np.zeros(4))
        content = home.path(run).read_bytes()
        for number in range(RUNS - 1):
            (home.folder / f"20260101-000000-{number:06x}.vizrun").write_bytes(content)
        first = timed(lambda: Library(folder).list())
        fresh = [1000 * timed(lambda: Library(folder).list()) for _ in range(repeats)]
        home.list()
        again = [1000 * timed(home.list) for _ in range(repeats)]
        search = [1000 * timed(lambda: home.search("digits conv1 owls")) for _ in range(repeats)]
    return [
        Result("travel: 2,000 runs listed without an index", first, "s", "lower"),
        measured("travel: 2,000 runs listed by a new server", fresh, "ms", "lower", 300.0),
        measured("travel: 2,000 runs listed again", again, "ms", "lower", 300.0),
        measured("travel: 2,000 runs searched", search, "ms", "lower", 300.0),
    ]


def opening(repeats: int = 7) -> list[Result]:
    """A run of 16 filters × 2,000 steps at 128 px: opened with all that the page needs, kept steps, disk."""
    spec = build(MODEL, LAYER, FILTERS, size=SIZE, steps=STEPS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "20260101-000000-aaaaaa.vizrun"
        recorded(path, spec)

        def open_it() -> None:
            with RunReader(path) as reader:
                reader.scores()
                reader.knobs()
                reader.steps()
                _ = reader.meta, reader.revision
                pack(0, reader.frames(int(reader.latest() or 0)))

        opened = [1000 * timed(open_it) for _ in range(repeats)]
        with RunReader(path) as reader:
            steps = np.random.default_rng(1).permutation(reader.steps())[:400].tolist()
            kept = [1000 * timed(lambda step=step: pack(step, reader.frames(step))) for step in steps]
            count = len(reader.steps())
        size = path.stat().st_size / 2**20
    return [
        measured("travel: 16 × 2,000 steps opened", opened, "ms", "lower", 500.0),
        Result("travel: a kept step read, 95th percentile", percentile(kept, 95), "ms", "lower", 50.0),
        Result("travel: steps of these kept", count, "of 2001", "higher"),
        Result("travel: disk of that run", size, "MiB", "lower", 512.0),
    ]


@contextlib.contextmanager
def engine_run(folder: str, steps: int) -> Iterator[tuple[Any, str]]:
    """An engine and a run of ``steps`` steps that it has computed."""
    from vizcore.engine import Engine

    with Engine(Library(folder)) as engine:
        run = engine.begin(build(MODEL, LAYER, FILTERS, size=SIZE, steps=STEPS), keep=True).result(120)
        while engine.states[run].step < steps:
            time.sleep(0.05)
        engine.stop(run).result(60)
        yield engine, run


def recompute(repeats: int = 3) -> list[Result]:
    """The farthest step from a checkpoint, in the engine, of 16 filters at 128 px; and whether it is what it was."""
    spec = build(MODEL, LAYER, FILTERS, size=SIZE, steps=STEPS)
    with tempfile.TemporaryDirectory() as folder:
        every = checkpoint_every(spec)
        with engine_run(folder, min(every, 120) + 40) as (engine, run):
            path = engine.library.path(run)
            with RunReader(path) as reader:
                marks = [*reader.checkpoints(), int(reader.scores()[0][-1]) + 1]
                begin = next(at for at, after in pairwise(marks) if after - at >= min(every, 100))
            seconds, told, steps = [], {}, min(every, marks[marks.index(begin) + 1] - begin) - 1
            for _ in range(repeats):
                with schema.editing(path) as connection:
                    entries.drop(connection, [begin + steps])
                start = time.perf_counter()
                told = engine.recompute(run, begin + steps).result(300)
                seconds.append(time.perf_counter() - start)
    each = [second / (steps + 1) for second in seconds]
    return [
        measured("travel: one step recomputed", [1000 * one for one in each], "ms", "lower"),
        measured(
            "travel: the farthest step recomputed", [every * one for one in each], "s", "lower", 5.0,
            note=f"{every} steps from checkpoint to checkpoint, 16 × 128 px",
        ),
        Result("travel: recomputed scores differ by", float(told["difference"]), "of the score", "lower", 0.0),
    ]  # fmt: skip


def film_run(path: Path) -> None:
    """A run file of one filter, 256 steps at 224 px."""
    with RunWriter.create(path, build(MODEL, LAYER, (0,), size=224, steps=255)) as writer:
        for step in range(256):
            writer.add(step, pictures(1, 224, step), np.zeros(1), np.zeros(1))
            while writer._journal.load > 0.25:
                time.sleep(0.005)
        writer.set_state("done")


def films(repeats: int = 5) -> list[Result]:
    """256 steps of one filter at 224 px as a GIF, a WebP, an MP4 and a WebM."""
    from vizcore.animation import Film, save

    forms = {"gif": 5.0, "webp": None} | ({"mp4": 3.0, "webm": None} if importlib.util.find_spec("av") else {})
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "20260101-000000-aaaaaa.vizrun"
        film_run(path)
        with RunReader(path) as reader:
            for form, target in forms.items():
                out = Path(folder) / f"film.{form}"
                seconds = [timed(lambda out=out: save(out, reader, Film(range(256)))) for _ in range(repeats)]
                size = f"{out.stat().st_size / 2**20:.1f} MiB"
                name = f"travel: 256 steps at 224 px as {form.upper()}"
                results.append(measured(name, seconds, "s", "lower", target, note=size))
    return results


PARTS: dict[str, Callable[[], list[Result]]] = {
    "library": library,
    "opening": opening,
    "recompute": recompute,
    "films": films,
}


def travel() -> list[Result]:
    """All of it."""
    return [result for part in PARTS.values() for result in part()]
