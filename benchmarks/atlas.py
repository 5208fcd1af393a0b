"""Atlases: seconds per filter and layer, two workers beside one, what Dask costs a task, and the wall of 10,000."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import psutil
from PIL import Image

from benchmarks.live import browser, serving
from benchmarks.report import Result, measured

MODEL, LAYER = "imagenette-robust", "block2.down.conv"
MANY = 10_000


def _make(out: Path, *more: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "vizcore", "atlas", MODEL, "--out", str(out), "--json", *more]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    told: dict[str, Any] = json.loads(found.stdout)
    told["events"] = [json.loads(line) for line in found.stderr.splitlines() if line.startswith("{")]
    return told


def _steady(told: dict[str, Any]) -> float:
    """Filters per second from the first tile on: without the start of the workers."""
    times = [event["at"] for event in told["events"] if event["event"] == "tile"]
    first = min(times)
    late = [at for at in times if at > first + 0.5]  # a batch's tiles come together
    return len(late) / (max(late) - first)


def layers(channels: int = 16) -> list[Result]:
    """Seconds per filter of each layer with two workers, and what that makes of the whole network."""
    with tempfile.TemporaryDirectory() as folder:
        told = _make(Path(folder) / "atlas", "--workers", "2", "--channels", f"0-{channels - 1}")
    from vizcore.layers import list_in_order
    from vizcore.zoo.load import load

    counts = {layer.path: layer.channels for layer in list_in_order(load(MODEL)) if layer.kind in ("conv", "linear")}
    cost = {line["layer"]: line["seconds_per_channel"] for line in told["layers"]}
    whole = sum(counts[layer] * seconds for layer, seconds in cost.items()) / 2
    note = f"two workers of one thread, {channels} filters"
    found = [
        Result(f"atlas: one filter of {layer}", seconds, "s", "lower", note=note) for layer, seconds in cost.items()
    ]
    text = f"{sum(counts.values()):,} filters of {len(counts)} layers, from {told['done']} of them that were rendered"
    return [*found, Result(f"atlas: all of {MODEL} at 64 px on two cores", whole / 60, "min", "lower", 15.0, note=text)]


def workers(filters: int = 64) -> list[Result]:
    """Two workers against the sum of two single runs, local and by Dask."""
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, flags, count in (
            ("one", ["--workers", "1"], filters // 2), ("two", ["--workers", "2"], filters),
            ("dask", ["--workers", "2", "--scheduler", "local"], filters),
        ):  # fmt: skip
            os.environ["OMP_NUM_THREADS"] = "1"
            one_thread = ["taskset", "-c", "0"] if name == "one" else []
            command = [
                *one_thread, sys.executable, "-m", "vizcore", "atlas", MODEL, "--out", f"{folder}/{name}", "--json",
                "--layers", LAYER, "--channels", f"0-{count - 1}", "--shard", "8", *flags,
            ]  # fmt: skip
            found = subprocess.run(command, check=True, capture_output=True, text=True)
            told = {"events": [json.loads(line) for line in found.stderr.splitlines() if line.startswith("{")]}
            rates[name] = _steady(told)
    del os.environ["OMP_NUM_THREADS"]
    note = f"{LAYER}, 64 px, 256 steps, without the start of the workers"
    return [
        Result("atlas: one worker on one core", rates["one"], "filters/s", "higher", note=note),
        Result("atlas: two workers", rates["two"], "filters/s", "higher", note=note),
        Result("atlas: two workers of the sum of single runs", rates["two"] / rates["one"] / 2, "", "higher", 0.85),
        Result(
            "atlas: two Dask workers of the sum of single runs", rates["dask"] / rates["one"] / 2, "", "higher", 0.85
        ),
    ]


def dask(tasks: int = 200) -> list[Result]:
    """What a task costs beside its work: shards whose tiles are there already, through a cluster and without one."""
    from tests.atlas import nets
    from vizcore.atlas.cluster import Cluster
    from vizcore.atlas.engines import Finished
    from vizcore.atlas.shard import Shard, render_shard

    with tempfile.TemporaryDirectory() as folder:
        work, _ = nets.work_for(Path(folder))
        shard = Shard("conv1", (0, 1, 2, 3), 30.0)
        render_shard(work, shard)
        begin = time.perf_counter()
        for _ in range(tasks):
            render_shard(work, shard)
        alone = (time.perf_counter() - begin) / tasks
        engine = Cluster(work, "local", 1)
        each = []
        try:
            for count in (20, *[tasks] * 3):  # the first ones warm up
                begin, left = time.perf_counter(), count
                for _ in range(count):
                    engine.submit(shard)
                while left:
                    left -= isinstance(engine.next(60), Finished)
                each.append((time.perf_counter() - begin) / count - alone)
        finally:
            engine.close()
    note = f"{tasks} tasks of four filters, one worker, its scheduler on the same two cores"
    costs = [1000 * seconds for seconds in each[1:]]
    return [
        measured("atlas: Dask, a task beside its work", costs, "ms", "lower", note=note),
        measured("atlas: Dask, of a shard of 30 s", [ms / 300 for ms in costs], "%", "lower", 3.0, note=note),
    ]


def wall(repeats: int = 2) -> list[Result]:
    """Frames per second and memory of the page while its wall of 10,000 different thumbnails is scrolled."""
    taken: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        _many(home / "atlases" / "many")
        with serving(home) as (address, _server):
            where = quote(f"?page=atlas&atlas=many&layer={LAYER}")
            for _ in range(repeats):
                url = f"{address}/bench?script=wall&seconds=8&address={where}"
                taken.append(browser(url, home, look=_renderer))
    if any(data["rows"] != MANY for data in taken):
        raise SystemExit("The wall does not have all filters.")
    steady, fast = ([data[way]["fps"] for data in taken] for way in ("steady", "fast"))
    painted = [100 * data["steady"]["painted"] for data in taken]
    memory = [data["looked"] for data in taken]
    return [
        measured("atlas: the wall of 10,000, scrolled by 600 px/s", steady, "frames/s", "higher", 30.0),
        measured("atlas: the wall of 10,000, scrolled by 20,000 px/s", fast, "frames/s", "higher", 30.0),
        measured("atlas: seen thumbnails that were painted, at 600 px/s", painted, "%", "higher"),
        measured("atlas: memory of the page after that (the renderer's own)", memory, "MB", "lower", 300.0),
    ]


def _many(folder: Path) -> None:
    """An atlas of 10,000 filters that all look different."""
    from tests.app import fake_atlas
    from vizcore.atlas.store import tile_name
    from vizcore.export import png_bytes

    head = fake_atlas.make(folder, {LAYER: MANY + 1}, painted=1)
    generator = np.random.default_rng(0)
    manifest = next((folder / "layers").glob("*.json"))
    data = json.loads(manifest.read_text())
    data["channels"] = MANY
    del data["units"][str(MANY)]  # the one that failed
    for channel in range(MANY):
        small = Image.fromarray(generator.integers(0, 256, (12, 12, 3), np.uint8))
        address = head.address(LAYER, channel)
        path = folder / tile_name(address)
        path.parent.mkdir(parents=True, exist_ok=True)  # written without a sync: 10,000 of them take a minute
        path.write_bytes(png_bytes(np.asarray(small.resize((64, 64), Image.Resampling.BICUBIC))))
        data["units"][str(channel)]["tile"] = address
    manifest.write_text(json.dumps(data))


def _renderer(process: psutil.Process) -> float:
    """MB of its own that the largest renderer of a browser has."""
    found = [0.0]
    for child in process.children(recursive=True):
        try:
            if "--type=renderer" in child.cmdline():
                found.append(child.memory_full_info().uss / 1e6)
        except psutil.Error:
            continue
    return max(found)


def cost() -> list[Result]:
    """Seconds per filter at the first, the middle and the last layer of large networks, by three steps each."""
    found = []
    for name, size, batch in (("resnet50", 224, 16), ("vit_l_16", 224, 2)):
        for layer, seconds in _steps(name, size, batch).items():
            text = f"{size} px, {batch} at once, one process of two threads, 256 steps from three; random weights"
            found.append(Result(f"atlas: one filter of {name} {layer}", seconds, "s", "lower", note=text))
    return found


def _steps(name: str, size: int, batch: int) -> dict[str, float]:
    import torch

    from vizcore.ascent import ascend
    from vizcore.layers import list_in_order
    from vizcore.spec import build
    from vizcore.zoo import architectures
    from vizcore.zoo.load import Network

    torch.set_num_threads(os.cpu_count() or 1)
    network = Network(architectures.torchvision_card(name), architectures.build(name, classes=1000, quick=True))
    paths = [layer.path for layer in list_in_order(network, size) if layer.kind in ("conv", "linear")]
    seconds = {}
    for path in dict.fromkeys((paths[0], paths[len(paths) // 2], paths[-1])):
        spec = build(name, path, tuple(range(batch)), size=size, steps=256)
        run = ascend(spec, network, keep=lambda step: False)
        times = [next(run).seconds for _ in range(4)]
        seconds[path] = statistics.median(times[1:]) * 257 / batch
    return seconds


PARTS: dict[str, Callable[[], list[Result]]] = {
    "layers": layers, "workers": workers, "dask": dask, "wall": wall, "cost": cost,
}  # fmt: skip
