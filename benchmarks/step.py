"""What a step of the ascent costs, stage by stage, beside the bare network; and what bf16 costs in score."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from benchmarks.peers.cases import weights
from benchmarks.render import SHARED
from benchmarks.report import Result, measured
from vizcore import penalties
from vizcore.arithmetic import arithmetic
from vizcore.ascent import Ascent, Pass, ascend, in_bytes, score
from vizcore.layers import Cut
from vizcore.memory import keep_freed
from vizcore.spec import RunSpec, build
from vizcore.stem import Stem
from vizcore.together import lockstep
from vizcore.zoo.load import Network, load

REPEATS, WARM = 20, 3
RUNS = 16  # of a sweep
STEPS = 64  # of the runs whose scores are compared
SQUEEZENET = SHARED / "weights" / "squeezenet1_0-imagenet.safetensors"
Stage = Callable[[], object]


def step() -> list[Result]:
    """Every stage at 16 filters of 128 px and at one of 224 px; SqueezeNet where its shared weights are at hand."""
    keep_freed()  # as the engine and ``vizcore render`` do
    results = []
    for title, model, layer, arch in networks():
        network = load(model, arch)
        for channels, size in (("0-15", 128), ("3", 224)):
            spec = build(model, layer, channels, arch=arch, size=size, steps=4096)
            count = len(spec.channels)
            results += timed(f"step: {title}, {count} × {size} px", spec, network)
        results.append(halves(f"step: {title}, bf16 score / fp32 score after {STEPS} steps", spec, network))
        results += shared(f"step: {title}, {RUNS} runs of one filter of 128 px", spec, network)
    return results


def networks() -> list[tuple[str, str, str, str | None]]:
    """Title, model, layer and architecture of what is measured."""
    found: list[tuple[str, str, str, str | None]] = [("imagenette-robust block2", "imagenette-robust", "block2", None)]
    if SQUEEZENET.exists():
        found.append(("SqueezeNet features.7", str(SQUEEZENET), "features.7", "squeezenet1_0"))
    else:
        print("step: the shared weights are not beside the checkout; SqueezeNet is left out")
    found.append(("ResNet-50 layer2.3 (random weights)", str(weights("resnet50")), "layer2.3", "resnet50"))
    return found


def timed(title: str, spec: RunSpec, network: Network) -> list[Result]:
    """Milliseconds of each stage, which take turns, and how much the whole step takes beside the bare network."""
    ascent = ascend(spec, network)
    next(ascent)
    parts = stages(ascent)
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(WARM + REPEATS):
        for name, stage in parts.items():
            begin = time.perf_counter()
            stage()
            times[name].append(1000 * (time.perf_counter() - begin))
    times = {name: values[WARM:] for name, values in times.items()}
    ratios = [whole / part for whole, part in zip(times["whole step"], times["bare network"], strict=True)]
    results = [measured(f"{title}, {name}", values, "ms", "lower") for name, values in times.items()]
    return [*results, measured(f"{title}, whole step / bare network", ratios, "×", "lower", 1.25)]


def shared(title: str, spec: RunSpec, network: Network) -> list[Result]:
    """One step of many runs of one filter, one after the other and in one pass."""
    spec = replace(spec, channels=(3,), size=128)
    runs = [ascend(replace(spec, seed=seed), network, keep=lambda step: False) for seed in range(RUNS)]
    times: dict[str, list[float]] = {"one after the other": [], "in one pass": []}
    for _ in range(WARM + REPEATS):
        for name, turn in (
            ("one after the other", lambda: [next(run) for run in runs]),
            ("in one pass", lambda: lockstep(runs)),
        ):
            begin = time.perf_counter()
            turn()
            times[name].append(1000 * (time.perf_counter() - begin))
    times = {name: values[WARM:] for name, values in times.items()}
    ratios = [one / two for one, two in zip(times["one after the other"], times["in one pass"], strict=True)]
    results = [measured(f"{title}, {name}", values, "ms", "lower") for name, values in times.items()]
    return [*results, measured(f"{title}, quicker in one pass by", ratios, "×", "higher")]


def stages(ascent: Ascent) -> dict[str, Stage]:
    """The parts of a step, each to be called by itself, in this order; a backward uses what its forward left."""
    image = ascent._image
    knobs = ascent.knobs.at(0)
    picture = image.render().detach().requires_grad_()
    question = Pass(picture, range(len(picture)), knobs)
    with arithmetic(ascent.precision, ascent.device):
        x = ascent.moved(picture, question).detach().requires_grad_()
    back, up = torch.ones_like(x), torch.ones_like(picture)
    left: dict[str, Any] = {}
    bare = Cut(plain(ascent.cut.module), ascent._objective.layers)

    def network() -> None:
        with arithmetic(ascent.precision, ascent.device):
            loss = ascent._objective(bare(x)).sum()
        torch.autograd.grad(loss, x)

    def forward() -> None:
        with arithmetic(ascent.precision, ascent.device):
            left["score"] = ascent._objective(ascent.cut(x)).sum()

    def move() -> None:
        with arithmetic(ascent.precision, ascent.device):
            moved = ascent.moved(picture, question)
        torch.autograd.grad(moved, picture, back)

    def render() -> None:
        left["gradient"] = torch.autograd.grad(image.render(), image.parameter, up)[0]

    return {
        "whole step": lambda: next(ascent),
        "bare network": network,
        "network forward": forward,
        "network backward": lambda: torch.autograd.grad(left["score"], x),
        "transforms forward and backward": move,
        "image forward and backward": render,
        "optimizer": lambda: ascent._optimizer.update(image.parameter, left["gradient"], 0.0, 1),
        "penalties": lambda: penalties.project(image, knobs, 1, None),
        "frame out": lambda: in_bytes(picture.detach()).cpu().numpy(),
    }


def plain(module: nn.Module) -> nn.Module:
    """The network with PyTorch's own gradient of the first convolution."""
    module = copy.deepcopy(module)
    for path, part in list(module.named_modules()):
        if isinstance(part, Stem):
            outputs, colours, *kernel = part.weight.shape
            conv = nn.Conv2d(colours, outputs, (kernel[0], kernel[1]), part.stride, part.padding)
            conv.weight, conv.bias = part.weight, part.bias
            module.set_submodule(path, conv)
    return module


def halves(title: str, spec: RunSpec, network: Network) -> Result:
    """The score in fp32 that 16 filters reach in bf16, as a share of what they reach in fp32."""
    reached = []
    for precision in ("bf16", "fp32"):
        one = spec.replace(channels=tuple(range(16)), size=128, steps=STEPS, precision=precision)
        *_, last = ascend(one, network, keep=lambda step: step == STEPS)
        pictures = torch.from_numpy(last.images).permute(0, 3, 1, 2) / 255
        reached.append(score(one, network, pictures))
    shares = (100 * reached[0] / reached[1]).tolist()
    return measured(title, shares, "%", "higher", 95, "median over 16 filters")
