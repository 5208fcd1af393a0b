"""The live page: what a person waits for, and what recording and streaming cost the engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from benchmarks.client import Viewer
from benchmarks.report import Result, measured, percentile

LIGHT = {"model": "digits", "layer": "conv1", "steps": 8000}  # a network that ascends faster than pages are drawn
MODEL, LAYER, FILTERS, SIZE = "imagenette-robust", "block2", "0-15", 128
CHROMIUM_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1280,800",
)  # fmt: skip


def _address(**more: object) -> str:
    given = {"model": MODEL, "layer": LAYER, "filters": FILTERS, "size": SIZE, **more}
    return "?" + "&".join(f"{name}={value}" for name, value in given.items())


@contextlib.contextmanager
def serving(home: Path, *options: str) -> Iterator[tuple[str, psutil.Process]]:
    """A server with its engine warm; its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "VIZCORE_BENCH_REPORT": str(home / "report.json")}
    command = [sys.executable, "-m", "benchmarks.reporting", "--port", str(port), "--home", str(home), *options]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/healthz").read()
                break
            time.sleep(0.1)
        time.sleep(10)  # the engine loads torch and the network; the numbers are of a running server
        yield address, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def browser(
    address: str, home: Path, *flags: str, limit: float = 240, look: Callable[[psutil.Process], Any] | None = None
) -> dict[str, Any]:
    """What the reporting page says; under ``looked`` what ``look`` makes of the browser while the page is still up."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("No Chromium was found; install it to measure the page.")
    report = home / "report.json"
    report.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        process = subprocess.Popen(
            [chromium, *CHROMIUM_FLAGS, *flags, f"--user-data-dir={profile}", address],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + limit
        while not report.exists() and time.monotonic() < end:
            time.sleep(0.2)
        looked = look(psutil.Process(process.pid)) if look is not None else None
        process.terminate()
        process.wait(20)
        time.sleep(0.5)
    data: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {"error": "no report came"}
    data["looked"] = looked
    if "error" in data:
        raise SystemExit(f"The page could not be measured: {data['error']}")
    return data


def page(repeats: int = 3) -> list[Result]:
    """First paint, first live frame, shown updates, pause and scrubbing in Chromium."""
    paints, firsts, updates, steps, pauses, scrubs, arrows = [], [], [], [], [], [], []
    quick, quicker = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (address, _server):
            data = browser(f"{address}/bench?seconds=10&address={quote(_address(steps=4096))}", Path(folder))
            paints.append(data["firstPaint"] / 1000)
            firsts.append(data["firstFrame"] / 1000)
            updates.append(data["updates"])
            steps.append(data["steps"])
            pauses.append(data["pause"])
            scrubs.append(percentile(data["scrub"], 95))
            arrows.append(percentile(data["arrow"], 95))
            data = browser(f"{address}/bench?seconds=10&address={quote(_address(**LIGHT))}", Path(folder))
            quick.append(data["updates"])
            quicker.append(data["steps"])
    return [
        measured("page: first paint", paints, "s", "lower", 1.0),
        measured("page: first live frame", firsts, "s", "lower", 3.0),
        measured("page: shown updates, 16 tiles of 128 px", updates, "/s", "higher"),
        measured("page: engine with Chromium drawing on the same cores", steps, "steps/s", "higher"),
        measured("page: shown updates, 16 tiles of 128 px of digits conv1", quick, "/s", "higher", 15.0),
        measured("page: engine with Chromium drawing the tiles of digits conv1", quicker, "steps/s", "higher"),
        measured("page: pause, from click to still", pauses, "ms", "lower", 200.0),
        measured("page: scrub to a far step, 95th percentile", scrubs, "ms", "lower", 50.0),
        measured("page: scrub by one step, 95th percentile", arrows, "ms", "lower", 50.0),
    ]


BARE = """
import sys, time
from vizcore.memory import keep_freed
from vizcore.zoo.load import load
from vizcore.ascent import ascend
from vizcore.spec import build
spec = build("{model}", "{layer}", "{filters}", size={size}, steps=8000)
keep_freed()
run = ascend(spec, load("{model}"), keep=lambda step: False)
for _ in range(20): next(run)
begin = time.perf_counter(); count = 0
while time.perf_counter() - begin < {seconds}:
    next(run); count += 1
print(count / (time.perf_counter() - begin))
"""


def bare(seconds: float) -> float:
    """Steps per second of the loop alone, nothing kept."""
    code = BARE.format(model=MODEL, layer=LAYER, filters=FILTERS, size=SIZE, seconds=seconds)
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


async def _watched(address: str, seconds: float) -> tuple[float, float]:
    viewer = Viewer(f"{address}/app{_address(steps=8000)}")
    await viewer.open()
    while viewer.status.get("step", 0) < 20:
        await asyncio.wait_for(viewer.once(), 60)
    viewer.updates.clear()
    first, begin = viewer.status["step"], time.perf_counter()
    await viewer.watch(seconds)
    passed = time.perf_counter() - begin
    rate = (viewer.status["step"] - first) / passed
    viewer.ask(do="pause")
    viewer.close()
    return rate, len(viewer.updates) / passed


def overhead(repeats: int = 5, seconds: float = 12.0) -> list[Result]:
    """Engine with recording and streaming to a viewer that draws nothing, against the loop alone; interleaved."""
    ratios, alone, served, shown = [], [], [], []
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (address, _):
        for _ in range(repeats):
            plain = bare(seconds)
            rate, updates = asyncio.run(_watched(address, seconds))
            time.sleep(3)
            alone.append(plain)
            served.append(rate)
            shown.append(updates)
            ratios.append(100 * (1 - rate / plain))
    return [
        measured("engine: the loop alone, 16 filters of 128 px", alone, "steps/s", "higher"),
        measured("engine: recording and streaming", served, "steps/s", "higher"),
        measured("engine: lost to recording and streaming", ratios, "%", "lower", 10.0),
        measured("engine: updates to a viewer that draws nothing", shown, "/s", "higher", 15.0),
    ]


def soak(minutes: float = 10.0) -> list[Result]:
    """Memory of server and engine over some minutes of running, watched."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (address, server):
        engine = max(server.children(recursive=True), key=lambda process: process.memory_info().rss)
        samples: list[tuple[float, float, float]] = []

        async def watch() -> None:
            viewer = Viewer(f"{address}/app{_address(steps=8000)}")
            await viewer.open()
            begin = time.perf_counter()
            while (passed := time.perf_counter() - begin) < 60 * minutes:
                await viewer.watch(5)
                if viewer.status.get("state") == "done":
                    viewer.ask(do="newseed")
                samples.append((passed, server.memory_info().rss / 2**20, engine.memory_info().rss / 2**20))
            viewer.close()

        asyncio.run(watch())
    early = [memory for passed, _, memory in samples if 55 <= passed <= 75] or [samples[0][2]]
    growth = statistics.median(memory for _, _, memory in samples[-4:]) - statistics.median(early)
    note, largest = f"{minutes:g} min", max(memory for _, memory, _ in samples)
    return [
        Result("soak: server, largest", largest, "MB", "lower", 400.0, note=note),
        Result("soak: engine growth after the first minute", growth, "MB", "lower", 50.0, note=note),
    ]
