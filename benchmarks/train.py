"""Throughput of training against plain loops: ``python -m benchmarks train``.

A plain loop is what a tutorial shows: Adam, fp32, random pictures that are ready as floats, no augmentation.  Ours
takes uint8 pictures through its augmentation, average and schedule, in the precision and layout that it chooses.
Also told: the share of our time in which pictures are prepared and the network waits.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.report import Result
from vizcore.engine import devices
from vizcore.memory import keep_freed
from vizcore.train.changes import parse
from vizcore.train.data import Part
from vizcore.train.loop import Training
from vizcore.train.recipe import Recipe
from vizcore.zoo.plain import Cnn

ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """A network and its pictures."""

    name: str
    channels: int
    size: int
    classes: int
    filters: Sequence[int]
    kernel: int
    units: Sequence[int]
    grid: int
    batch: int
    batches: int
    augment: str

    def network(self) -> Cnn:
        """With weights of seed 0."""
        torch.manual_seed(0)
        return Cnn(
            self.classes, self.channels, self.filters, self.kernel, units=self.units, grid=self.grid, activation="relu"
        )


CASES = (
    Case("MNIST 16-32, dense 128", 1, 28, 10, (16, 32), 5, (128,), 7, 128, 24, "shift:2"),
    Case("SVHN 32-64-128", 3, 32, 10, (32, 64, 128), 3, (), 1, 128, 12, "shift:2"),
    Case("FER 56-112-224-448, dense 512", 1, 48, 7, (56, 112, 224, 448), 3, (512,), 3, 64, 8, "flip,shift:4"),
)


def plain(case: Case) -> float:
    """Pictures per second of a plain loop."""
    network = case.network().train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    x = torch.rand(case.batch, case.channels, case.size, case.size)
    y = torch.randint(0, case.classes, (case.batch,))
    began = 0.0
    for step in range(case.batches + 2):
        if step == 2:  # after two that warm up
            began = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    return case.batch * case.batches / (time.perf_counter() - began)


def ours(case: Case) -> tuple[float, float, str]:
    """Pictures per second of the training loop, the share in which it prepares them, and its precision."""
    count = case.batch * (case.batches + 2)
    images = torch.randint(0, 256, (count, case.channels, case.size, case.size), dtype=torch.uint8)
    part = Part(images, torch.randint(0, case.classes, (count,)))
    recipe = Recipe(epochs=1, batch_size=case.batch, optimizer="adamw", average=0.99)
    network: nn.Module = case.network()
    training = Training(
        recipe, network, (0.5,) * case.channels, (0.25,) * case.channels, part, augmentation=parse(case.augment)
    )
    steps = training.epoch()
    next(steps)
    next(steps)
    began = time.perf_counter()
    for _ in steps:
        pass
    epoch = training.epochs[-1]
    return (
        case.batch * case.batches / (time.perf_counter() - began),
        epoch.preparing / epoch.seconds,
        training.precision,
    )


def train() -> list[Result]:
    """Every case, ours and the plain loop in turns."""
    keep_freed()
    devices.set_threads(False)
    results = []
    for case in CASES:
        loops = [(plain(case), ours(case)) for _ in range(ROUNDS)]
        theirs = statistics.median(one for one, _ in loops)
        mine = statistics.median(found[0] for _, found in loops)
        waiting = statistics.median(found[1] for _, found in loops)
        precision = loops[0][1][2]
        results += [
            Result(f"train: {case.name}, plain loop", theirs, "pictures/s", "higher"),
            Result(f"train: {case.name} ({precision})", mine, "pictures/s", "higher", theirs),
            Result(f"train: {case.name}, time in which pictures are prepared", 100 * waiting, "%", "lower", 10),
        ]
    return results


if __name__ == "__main__":
    for result in train():
        print(f"{result.name}: {result.value:.4g} {result.unit} {'' if result.ok is None else result.ok}", flush=True)
