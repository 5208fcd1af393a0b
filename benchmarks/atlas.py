"""Atlases: a whole network, two workers beside one, what Dask costs a task, and the wall of 10,000."""

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

MODEL, LAYER, SIZE = "imagenette-robust", "block2.down.conv", 96  # px: the network's own
MANY = 10_000


def _make(out: Path, *more: str, one_core: bool = False) -> dict[str, Any]:
    """The result of the command, and under ``events`` what it told on the way; processes of one thread."""
    command = [sys.executable, "-m", "vizcore", "atlas", MODEL, "--size", str(SIZE), "--out", str(out), "--json", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        ["taskset", "-c", "0", *command] if one_core else command,
        check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(found.stdout)
    told["events"] = [json.loads(line) for line in found.stderr.splitlines() if line.startswith("{")]
    return told


def _steady(told: dict[str, Any], workers: int) -> float:
    """Filters per second from when each worker has finished a batch: without the start of the workers."""
    batches: dict[float, list[float]] = {}  # what the filters of a batch took is the same to 0.1 ms
    for event in told["events"]:
        if event["event"] == "tile":
            batches.setdefault(event["seconds"], []).append(event["at"])
    ended = sorted(batches.values(), key=max)
    late = ended[workers:]
    return sum(len(times) for times in late) / (max(late[-1]) - max(ended[workers - 1]))


def whole() -> list[Result]:
    """The whole network at its own size, really rendered by two workers: seconds per filter of each layer, and all."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        told = _make(Path(folder) / "atlas", "--workers", "2")
        minutes = (time.perf_counter() - began) / 60
    if told["done"] != told["total"]:
        raise SystemExit("The atlas is not whole.")
    note = f"{SIZE} px, two workers of one thread"
    found = [
        Result(f"atlas: one filter of {line['layer']}", line["seconds_per_channel"], "s", "lower", note=note)
        for line in told["layers"]
    ]
    text = f"{told['done']:,} filters of {len(told['layers'])} layers, all rendered, with the start of the command"
    return [
        *found,
        Result(f"atlas: all of {MODEL} at {SIZE} px on two cores", minutes, "min", "lower", 15.0, note=text),
    ]


def workers(filters: int = 96) -> list[Result]:
    """Two workers against the sum of two single runs, local and by Dask."""
    given = ("--layers", LAYER, "--steps", "128", "--shard", "8")
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, flags, count in (
            ("one", ("--workers", "1"), filters // 2), ("two", ("--workers", "2"), filters),
            ("dask", ("--workers", "2", "--scheduler", "local"), filters),
        ):  # fmt: skip
            told = _make(
                Path(folder) / name, *given, "--channels", f"0-{count - 1}", *flags, one_core=name == "one"
            )  # fmt: skip
            rates[name] = _steady(told, 1 if name == "one" else 2)
    note = f"{LAYER}, {SIZE} px, 128 steps, without the start of the workers"
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
    for name, size, batch, precision in (("resnet50", 224, 16, "auto"), ("vit_l_16", 224, 2, "fp32")):
        for layer, seconds in _steps(name, size, batch, precision).items():
            text = f"{size} px, {precision}, {batch} at once, two threads, 256 steps from three; random weights"
            found.append(Result(f"atlas: one filter of {name} {layer}", seconds, "s", "lower", note=text))
    return found


def _steps(name: str, size: int, batch: int, precision: str) -> dict[str, float]:
    import torch

    from vizcore.ascent import ascend
    from vizcore.layers import list_in_order
    from vizcore.spec import build
    from vizcore.zoo import architectures
    from vizcore.zoo.load import Network

    torch.set_num_threads(os.cpu_count() or 1)
    network = Network(architectures.torchvision_card(name), architectures.build(name, classes=1000, quick=True))
    for parameter in network.module.parameters():
        if parameter.ndim == 2 and not parameter.any():  # heads that begin at zero have no gradient
            torch.nn.init.normal_(parameter, std=0.02)
    paths = [layer.path for layer in list_in_order(network, size) if layer.kind in ("conv", "linear")]
    seconds = {}
    for path in dict.fromkeys((paths[0], paths[len(paths) // 2], paths[-1])):
        spec = build(name, path, tuple(range(batch)), size=size, steps=256, precision=precision)
        run = ascend(spec, network, keep=lambda step: False)
        times = [next(run).seconds for _ in range(4)]
        seconds[path] = statistics.median(times[1:]) * 257 / batch
    return seconds


PARTS: dict[str, Callable[[], list[Result]]] = {
    "whole": whole, "workers": workers, "dask": dask, "wall": wall, "cost": cost,
}  # fmt: skip
