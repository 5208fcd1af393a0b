"""Small runs to write."""

from __future__ import annotations

import numpy as np

from vizcore import spec as specs
from vizcore.history import RunWriter


def pictures(step: int, channels: int = 3, size: int = 16, colours: int = 3) -> np.ndarray:
    """Noise [N, H, W, C] that no other step has."""
    return np.random.default_rng(step).integers(0, 256, (channels, size, size, colours), np.uint8)


def spec(**changes: object) -> specs.RunSpec:
    return specs.build("digits", "conv1", (4, 0, 7), **{"size": 16, "steps": 64, **changes})  # type: ignore[arg-type]


def fill(writer: RunWriter, steps: range) -> None:
    for step in steps:
        writer.add(step, pictures(step), np.arange(3) + step, np.full(3, 0.5))
