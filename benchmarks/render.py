"""``vizcore render`` on a real network: do the pictures excite their filters more than photographs do?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.report import Result
from vizcore.ascent import score
from vizcore.spec import build
from vizcore.zoo.load import load

LAYER, FILTERS, SIZE, STEPS = "features.7", "0-15", 128, 256
SHARED = Path(os.environ.get("VIZCORE_SHARED", Path(__file__).parents[2] / "shared"))


def photographs(folder: Path, size: int) -> torch.Tensor:
    """The central squares of all pictures in a folder: ``[K, 3, size, size]`` in [0, 1]."""
    squares = []
    for path in sorted(folder.glob("*.jpg")):
        image = Image.open(path).convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS)
        squares.append(np.asarray(square, np.float32).transpose(2, 0, 1) / 255)
    return torch.from_numpy(np.stack(squares))


def render() -> list[Result]:
    """256 Crisp steps of 16 filters of the shared SqueezeNet; nothing where it is not at hand."""
    weights = SHARED / "weights" / "squeezenet1_0-imagenet.safetensors"
    if not weights.exists():
        print("render: the shared weights are not beside the checkout; left out")
        return []
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "vizcore", "render", str(weights), LAYER, "--arch", "squeezenet1_0", "--json",
            "--channels", FILTERS, "--size", str(SIZE), "--steps", str(STEPS), "--preset", "Crisp", "--out", folder,
        ]  # fmt: skip
        environment = {**os.environ, "VIZCORE_HOME": folder}
        answer = json.loads(
            subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
        )
    spec = build(str(weights), LAYER, FILTERS, arch="squeezenet1_0", size=SIZE)
    network = load(str(weights), "squeezenet1_0")
    natural = np.stack(
        [
            np.asarray(score(spec, network, picture[None].expand(len(spec.channels), -1, -1, -1)))
            for picture in photographs(SHARED / "images", SIZE)
        ]
    ).max(0)
    filters = answer["filters"]
    risen = sum(entry["end"] > entry["start"] for entry in filters)
    above = sum(bool(entry["end"] > best) for entry, best in zip(filters, natural, strict=True))
    return [
        Result("render: filters that end above their start", risen, "of 16", "higher", 16),
        Result("render: filters above their best photograph", above, "of 16", "higher", 14),
        Result("render: SqueezeNet features.7, 16 × 128 px", answer["steps_per_second"], "steps/s", "higher"),
    ]
