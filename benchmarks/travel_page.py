"""Travelling in runs as a person does it, in Chromium: kept steps, recomputed ones, films from click to file."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.live import browser as reporting
from benchmarks.live import serving
from benchmarks.report import Result, measured, percentile
from benchmarks.travel import FILTERS, LAYER, MODEL, SIZE, STEPS, engine_run, film_run, recorded
from vizcore.history import RunReader, checkpoint_every, entries, schema
from vizcore.runs import Library
from vizcore.spec import build

RUN = "20260101-000000-aaaaaa"
ROOM = "2048"  # MiB: all pictures of 16 × 2,000 steps take 600
DRAWN = """(step) => { const s = window.vizcore?.state?.()
  return s && s.shown === step && Object.values(s.tiles).every((one) => one === step) }"""


@contextlib.contextmanager
def visited(address: str) -> Iterator[Any]:
    """A page of a browser that a program holds the mouse of."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        yield page
        chromium.close()


def kept(repeats: int = 5) -> list[Result]:
    """A run of 16 filters with 2,001 kept steps: opened from the Library, and gone through with the slider."""
    spec = build(MODEL, LAYER, FILTERS, size=SIZE, steps=STEPS)
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("VIZCORE_RUN_MIB")
        os.environ["VIZCORE_RUN_MIB"] = ROOM
        try:
            path = Library(folder).folder / f"{RUN}{schema.SUFFIX}"
            path.parent.mkdir(parents=True)
            recorded(path, spec, checkpoints=False)
        finally:
            os.environ.pop("VIZCORE_RUN_MIB") if before is None else os.environ.update(VIZCORE_RUN_MIB=before)
        with RunReader(path) as reader:
            count = len(reader.steps())
        with serving(Path(folder)) as (address, _):
            data = reporting(f"{address}/bench?still=1&address={quote(f'?run={RUN}')}", Path(folder))
            opened = []
            with visited(f"{address}/app?page=library&autostart=0") as page:
                for _ in range(repeats):
                    page.goto(f"{address}/app?page=library&autostart=0")
                    row = page.locator(f".run[data-run='{RUN}']")
                    row.wait_for()
                    row.evaluate("(node) => { window.began = performance.now() }")
                    row.dblclick()
                    shown = page.wait_for_function(
                        f"() => vizcore.state().run === '{RUN}' && ({DRAWN})({STEPS}) && performance.now() - began"
                    )
                    opened.append(shown.json_value())
    note = f"{count} of {STEPS + 1} kept"
    return [
        measured("travel: 16 × 2,000 steps opened from the Library page", opened, "ms", "lower", 500.0, note=note),
        Result(
            "travel: a far kept step on the page, 95th percentile", percentile(data["scrub"], 95), "ms", "lower", 50.0,
            note=note,
        ),
        Result(
            "travel: the next kept step on the page, 95th percentile", percentile(data["arrow"], 95), "ms", "lower",
            50.0, note=note,
        ),
    ]  # fmt: skip


def again(repeats: int = 3) -> list[Result]:
    """From Enter to all 16 pictures of the step that is farthest from a checkpoint; and given up in the middle."""
    spec = build(MODEL, LAYER, FILTERS, size=SIZE, steps=STEPS)
    every = checkpoint_every(spec)
    seconds, told, given_up = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        with engine_run(folder, every + 40) as (engine, run):
            path = engine.library.path(run)
        with RunReader(path) as reader:
            marks = [*reader.checkpoints(), int(reader.scores()[0][-1]) + 1]
            step = next(after for at, after in pairwise(marks) if after - at >= every) - 1
        with serving(Path(folder)) as (address, _), visited(f"{address}/app?run={run}") as page:
            page.wait_for_function(f"() => vizcore.state?.().run === '{run}' && vizcore.state().shown !== null")
            for index in range(repeats + 1):
                with schema.editing(path) as connection:
                    entries.drop(connection, [step])
                page.wait_for_function(f"() => !vizcore.state().steps.includes({step})")
                page.get_by_test_id("live").click()
                page.get_by_test_id("step-number").click()
                page.get_by_test_id("goto-step").fill(str(step))
                began = time.perf_counter()
                page.keyboard.press("Enter")
                page.get_by_test_id("job-cancel").wait_for()
                told.append(time.perf_counter() - began)
                if index:
                    page.wait_for_function(DRAWN, arg=step, timeout=120_000)
                    seconds.append(time.perf_counter() - began)
                    continue
                page.wait_for_function("() => document.querySelector('[data-testid=job] progress').value > 0.2")
                began = time.perf_counter()
                page.get_by_test_id("job-cancel").click()
                page.get_by_test_id("job").wait_for(state="detached")
                given_up.append(time.perf_counter() - began)
    note = f"{every} steps from checkpoint to checkpoint, 16 × 128 px"
    return [
        measured("travel: the farthest step recomputed, on the page", seconds, "s", "lower", 5.0, note=note),
        measured("travel: its progress is shown after", told, "s", "lower"),
        measured("travel: given up after the click", given_up, "s", "lower"),
    ]


def downloads(repeats: int = 5) -> list[Result]:
    """256 steps of one filter at 224 px as a film, from the click to the file that the browser has saved."""
    targets = {"gif": 5.0} | ({"mp4": 3.0} if importlib.util.find_spec("av") else {})
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = Library(folder).folder / f"{RUN}{schema.SUFFIX}"
        path.parent.mkdir(parents=True)
        film_run(path)
        with serving(Path(folder)) as (address, _), visited(f"{address}/app?run={RUN}") as page:
            page.wait_for_function("() => vizcore.state?.().shown === 255")
            for form, target in targets.items():
                seconds = []
                for _ in range(repeats):
                    page.get_by_test_id("export").click()
                    with page.expect_download(timeout=60_000) as coming:
                        began = time.perf_counter()
                        page.get_by_test_id(f"export-{form}").click()
                    size = coming.value.path().stat().st_size  # waits until the browser has it
                    seconds.append(time.perf_counter() - began)
                name = f"travel: 256 steps at 224 px as {form.upper()}, from click to file"
                results.append(measured(name, seconds, "s", "lower", target, note=f"{size / 2**20:.1f} MiB"))
    return results


PARTS = {"kept": kept, "again": again, "downloads": downloads}
