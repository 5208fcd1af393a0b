"""Networks whose filters misbehave, and an atlas of the tiny one without the command line."""

from __future__ import annotations

import io
import os
import signal
import zipfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from tests import tiny
from tests.look.nets import picture
from vizcore.atlas import engines, job, plan
from vizcore.atlas.evidence import PARTS, Evidence
from vizcore.atlas.head import Head, settings_of
from vizcore.atlas.shard import Shard, Work, render_shard
from vizcore.atlas.store import open_store
from vizcore.errors import VizcoreError
from vizcore.look.collections import collect
from vizcore.spec import build
from vizcore.zoo.load import Network, load

TINY = "tests.tiny:network"
POISONED = "tests.atlas.nets:poisoned"
LETHAL = "tests.atlas.nets:lethal"


class _Trap(torch.autograd.Function):
    """The identity, but a gradient by channel 1 springs the trap."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kill: bool) -> torch.Tensor:
        ctx.kill = kill
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor, None]:
        if slope[:, 1].abs().sum() > 0:
            if ctx.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("the trap of channel 1\nand more")
        return slope, None


class _Trapped(torch.nn.Module):
    def __init__(self, inner: torch.nn.Module, kill: bool) -> None:
        super().__init__()
        self.inner, self.kill = inner, kill

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Trap.apply(self.inner(x), self.kill)


def poisoned(kill: bool = False) -> Network:
    """The tiny network, whose channel 1 of ``conv1`` raises."""
    network = tiny.network()
    network.module.conv1 = _Trapped(network.module.conv1, kill)
    return network


def lethal() -> Network:
    """The tiny network, whose channel 1 of ``conv1`` kills the process."""
    return poisoned(kill=True)


def pictures(path: Path, count: int = 14, seed: int = 0) -> Path:
    """A zip of small pictures of two classes."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            stream = io.BytesIO()
            Image.fromarray(picture(20, 24, seed + number)).save(stream, "PNG")
            info = zipfile.ZipInfo(f"{'ab'[number % 2]}/{number:02}.png")  # without a time: equal bytes
            archive.writestr(info, stream.getvalue())
    return path


def beside(data: Path, parts: tuple[str, ...] = PARTS) -> Evidence:
    """Evidence from the pictures of a zip."""
    collection = collect(data)
    return Evidence(parts, str(data), "", collection.fingerprint, len(collection))


def work_for(
    out: Path, model: str = TINY, exact: bool = True, evidence: Evidence | None = None, **values: Any
) -> tuple[Work, Network]:
    """What an atlas of a tiny network in ``out`` needs."""
    network = load(model, allow_factory=True)
    spec = build(model, "", (0,), **{"size": 16, "steps": 4, "precision": "fp32", "pad": 0, **values})
    head = Head(model, None, network.card.weights_hash, "Crisp", settings_of(spec), exact)
    return Work(head, str(out), evidence=evidence or Evidence()), network


class Inline:
    """An engine without processes."""

    workers, link = 1, ""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.shards: list[Shard] = []
        self.events: list[engines.Event] = []
        self.closed = False

    def submit(self, shard: Shard) -> None:
        self.shards.append(shard)

    def next(self, timeout: float) -> engines.Event | None:
        if not self.events:
            shard = self.shards.pop(0)
            try:
                render_shard(self.work, shard, lambda report: self.events.append(engines.Told(shard, report)))
            except VizcoreError as error:
                self.events.append(engines.Stopped(error))
            else:
                self.events.append(engines.Finished(shard))
        return self.events.pop(0)

    def close(self) -> None:
        self.closed = True


def run(
    work: Work, network: Network, engine: Any, layers: str = "conv*", notify: Any = lambda kind, facts: None
) -> job.Job:  # fmt: skip
    """One round of an atlas; the job, whose ``progress`` says how it went."""
    store = open_store(work.place)
    wanted = plan.wanted(plan.choose_layers(network, layers, 16), None)
    with store.prepare():
        missing = job.prepare(store, work.head, wanted)
        lacking = job.prepare_parts(store, work.head, work.evidence, wanted)
        task = job.Job(store, wanted, notify, work.evidence.parts)
        shards = plan.cut(missing, {layer: 1.0 for layer, _ in missing}, 1, work.width, most=3)
        shards += plan.cut_parts(lacking, {layer: (1.0, 1.0) for layer, _ in lacking}, 1, most=3)
        task.run(engine, shards)
        return task


def tiles(out: Path) -> dict[str, bytes]:
    """The tiles of an atlas, by name."""
    return {path.name: path.read_bytes() for path in (out / "tiles").glob("*/*")}


def parts(out: Path) -> dict[str, bytes]:
    """The evidence of an atlas, by name."""
    return {path.name: path.read_bytes() for path in (out / "parts").glob("*/*")}


def uninterrupted(folder: Path, model: str = TINY, **values: Any) -> dict[str, bytes]:
    """All tiles of conv1 and conv2, rendered here in two shards."""
    work, _ = work_for(folder, model, **values)
    for layer, count in (("conv1", 4), ("conv2", 6)):
        render_shard(work, Shard(layer, tuple(range(count))))
    return tiles(folder)
