"""Ascend under every combination of some parameters; print what each reaches and draw a contact sheet, one row each.

    python benchmarks/sweep_presets.py imagenette-robust block2 --set rate=0.02,0.05 --set decay=0,0.01 --sheet a.png

Columns: ``gain`` is the plain score in units of the highest on the pictures of a folder (median over filters;
``above``: filters beyond it), ``clipped`` the share of values within 2 % of black or white, ``contrast`` the deviation
of values within a picture.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vizcore.ascent import ascend, score
from vizcore.spec import RunSpec, build
from vizcore.zoo.load import Network, load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("layer")
    parser.add_argument("--arch")
    parser.add_argument("--channels", default="0-15")
    parser.add_argument("--preset", default="Crisp")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=A,B", help="values to try")
    parser.add_argument("--pictures", type=Path, help="a folder to take the highest natural scores from")
    parser.add_argument("--sheet", type=Path, help="where to write the contact sheet")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = load(options.model, options.arch)
    names = [text.partition("=")[0] for text in options.set]
    values = [text.partition("=")[2].split(",") for text in options.set]
    rows = []
    for chosen in itertools.product(*values):
        changes = dict(zip(names, chosen, strict=True))
        spec = build(options.model, options.layer, options.channels, options.preset, options.arch, **changes)
        natural = highest(spec, network, options.pictures) if options.pictures else None
        label = f"{options.preset} " + " ".join(f"{k}={v}" for k, v in changes.items())
        rows.append(measure(label, spec, network, natural))
    if options.sheet:
        Image.fromarray(np.concatenate(rows)).save(options.sheet)


def measure(label: str, spec: RunSpec, network: Network, natural: np.ndarray | None) -> np.ndarray:
    """Run a spec, print a line on it, and return its last pictures side by side, ``[H, N W, 3]``."""
    begin = time.perf_counter()
    frames = list(ascend(spec, network, keep=lambda step: step in (0, spec.steps)))
    first, last = (as_tensor(frame.images) for frame in (frames[0], frames[-1]))
    start, end = (score(spec, network, pictures).numpy() for pictures in (first, last))
    clipped = float(((last < 0.02) | (last > 0.98)).float().mean())
    contrast = float(last.flatten(1).std(1).mean())
    text = f"median {np.median(end):9.2f}  rose {int((end > start).sum()):2d}/{len(end)}"
    if natural is not None:
        gain, above = np.median(end / np.maximum(natural, 1e-6)), int((end > natural).sum())
        text += f"  gain {gain:6.2f}  above {above:2d}/{len(end)}"
    seconds = time.perf_counter() - begin
    print(f"{label:60s} {text}  clipped {clipped:5.1%}  contrast {contrast:.3f}  {seconds:5.1f} s", flush=True)
    images = frames[-1].images
    assert images is not None
    return np.concatenate(list(np.broadcast_to(images, (*images.shape[:3], 3))), 1)


def as_tensor(images: np.ndarray | None) -> torch.Tensor:
    """``[N, C, H, W]`` in [0, 1] of a frame's pictures."""
    assert images is not None
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def highest(spec: RunSpec, network: Network, folder: Path) -> np.ndarray:
    """The highest plain score ``[N]`` of each filter on the pictures of a folder, centre-cropped to the size."""
    best = np.full(len(spec.channels), -np.inf)
    for picture in pictures(folder, spec.size, network.card.channels):
        best = np.maximum(best, score(spec, network, picture.expand(len(spec.channels), -1, -1, -1)).numpy())
    return best


def pictures(folder: Path, size: int, channels: int) -> Iterator[torch.Tensor]:
    """The JPEGs of a folder as ``[1, C, size, size]``: shorter side scaled to the size, centre cropped."""
    for path in sorted(folder.glob("*.jpg")):
        image = Image.open(path).convert("RGB" if channels == 3 else "L")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        crop = image.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        array = np.asarray(crop, np.float32) / 255
        yield torch.from_numpy(array.reshape(1, size, size, channels)).permute(0, 3, 1, 2)


if __name__ == "__main__":
    main()
