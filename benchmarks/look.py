"""Looking at pictures: live activations, every method, top patches of 10,000 pictures, and what numbers promise."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.render import SHARED
from benchmarks.report import Result, measured, percentile
from benchmarks.step import SQUEEZENET
from vizcore.errors import LayerError
from vizcore.look import attribution, display
from vizcore.look.activations import Looker
from vizcore.look.attribution import METHODS, attribute
from vizcore.look.pictures import read
from vizcore.look.units import Unit, tensor
from vizcore.zoo.load import Network, load

LAYER, MAPS, UPDATES = "features.7", 64, 120
CIFAR = SHARED / "data" / "cifar10.zip"


def look() -> list[Result]:
    """All of it; nothing where the shared weights are not at hand."""
    if not SQUEEZENET.exists():
        print("look: the shared weights are not beside the checkout; left out")
        return []
    network = load(str(SQUEEZENET), "squeezenet1_0")
    return [*live(network), *methods(network), *completeness(network), *top()]


def photographs() -> list[Path]:
    """The shared pictures."""
    return sorted((SHARED / "images").glob("*.jpg"))


def live(network: Network) -> list[Result]:
    """A camera's JPEG of 640 × 480 to a JPEG of 64 maps and the classes, over and over, as the page does it."""
    frames = []
    for path in photographs()[:4]:
        stream = io.BytesIO()
        Image.open(path).convert("RGB").resize((640, 480)).save(stream, "JPEG", quality=80)
        frames.append(stream.getvalue())
    results = []
    for classes in (False, True):
        looker = Looker(network, LAYER, classes=classes)
        times, passes = [], []
        for i in range(UPDATES + 10):
            began = time.perf_counter()
            maps = looker.look(read(frames[i % len(frames)]))
            sheet = display.mosaic(display.maps(maps.values[maps.order()[:MAPS]]))
            Image.fromarray(sheet).save(io.BytesIO(), "JPEG", quality=85)
            times.append(time.perf_counter() - began)
            passes.append(maps.seconds)
        times, passes = times[10:], passes[10:]
        what = f"look: SqueezeNet {LAYER}, {MAPS} maps at 224 px" + (" and classes" if classes else "")
        rates = [1 / seconds for seconds in times]
        results.append(measured(f"{what}, updates", rates, "/s", "higher", 15, looker.precision))
        results.append(Result(f"{what}, 95th percentile", 1000 * percentile(times, 95), "ms", "lower", 150))
        results.append(measured(f"{what}, network alone", [1000 * s for s in passes], "ms", "lower"))
    return results


def methods(network: Network) -> list[Result]:
    """Seconds of each method for the top class of a photograph."""
    picture = read(photographs()[0])
    with torch.no_grad():
        unit = Unit("", int(network.module(tensor(network, picture))[0].argmax()))
    results = []
    for method in METHODS:
        try:
            times = [attribute(network, picture, unit, method).seconds for _ in range(4)][1:]
        except LayerError as error:
            print(f"look: {method}: {error}")
            continue
        results.append(measured(f"look: {method}, SqueezeNet at 224 px", times, "s", "lower"))
    return results


def completeness(network: Network) -> list[Result]:
    """The error of integrated gradients with 50 steps and no more, and that of LRP, on all shared photographs."""
    most, attribution.IG_MOST = attribution.IG_MOST, attribution.IG_STEPS
    errors: dict[str, list[float]] = {"ig": [], "lrp": []}
    try:
        for path in photographs():
            picture = read(path)
            with torch.no_grad():
                unit = Unit("", int(network.module(tensor(network, picture))[0].argmax()))
            for method, key in (("ig", "completeness_error"), ("lrp", "conservation_error")):
                errors[method].append(100 * attribute(network, picture, unit, method).facts[key])
    finally:
        attribution.IG_MOST = most
    return [
        Result("look: integrated gradients, 50 steps, worst completeness error", max(errors["ig"]), "%", "lower", 1,
               note=f"median {np.median(errors['ig']):.2g} over {len(errors['ig'])} photographs"),
        Result("look: LRP, worst conservation error", max(errors["lrp"]), "%", "lower", 5),
    ]  # fmt: skip


def top() -> list[Result]:
    """``vizcore top`` over 1,000 and 10,000 pictures of 32 px, each in a process of its own."""
    if not CIFAR.exists():
        return []
    seconds, memory, error = {}, {}, 0.0
    for count, only in ((1000, "/test/cat/"), (10_000, "/test/")):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable, "-c",
                "import resource, sys; from vizcore.cli import main; code = main(sys.argv[1:]); "
                "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)",
                "top", "imagenette-robust", str(CIFAR), "--layer", "block2", "--only", only, "--size", "32",
                "--channels", "0-15", "--out", folder, "--json",
            ]  # fmt: skip
            environment = {**os.environ, "VIZCORE_HOME": folder}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            answer = json.loads(done.stdout)
            seconds[count] = answer["counting_seconds"]
            memory[count] = int(done.stderr.split()[-1]) / 1024
            assert answer["pictures"] == count, answer["pictures"]
            for item in answer["filters"]:
                for patch in item["patches"]:
                    away = abs(patch["reproduced"] - patch["value"]) / max(abs(patch["value"]), 1e-3)
                    error = max(error, away)
    more = memory[10_000] - memory[1000]
    return [
        Result("look: top patches, 10,000 pictures of 32 px, imagenette-robust", seconds[10_000], "s", "lower", 120),
        Result("look: top patches, memory of 10,000 pictures above that of 1,000", more, "MiB", "lower", 100),
        Result("look: top patches, worst relative error of a reproduced value", error, "", "lower", 1e-5),
    ]  # fmt: skip
