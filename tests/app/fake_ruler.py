"""The ruler without a network: made-up lengths, and tiles in a colour of each method."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vizcore.engine import Comparison
from vizcore.engine.jobs import Job
from vizcore.rulertable import METHODS, REAL, Length

SIDE = 84
STEPS = 6  # of the engine's pace for each method
NAMES = (REAL, *METHODS)


def length(method: str, unit: int, comparison: Comparison) -> Length:
    """Numbers that differ with method and unit."""
    place, real = NAMES.index(method), bool(comparison.source)
    judged = 1 - 0.1 * place if comparison.judge else None
    return Length(
        method, unit, 1 + place / 4 + unit / 100, 0.9 - 0.05 * place, judged, judged, 5.0 + place if real else None,
        0.3 * place if real else None, None if comparison.seeds < 2 or method == REAL else 0.2 + place / 50, place / 8,
    )  # fmt: skip


class FakeMeasuring:
    """The part of the engine that holds methods to the ruler."""

    _job: Callable[..., Job[Any]]

    def measure(self, comparison: Comparison, method: str) -> Job[Any]:
        """Takes :data:`STEPS` of the pace."""

        def act() -> dict[str, Any]:
            width, height = len(comparison.units), 1 if method == REAL else comparison.seeds
            y, x = np.mgrid[0 : height * (SIDE + 2) - 2, 0 : width * (SIDE + 2) - 2] / 40
            wave = 128 + 100 * np.sin(x * (1 + NAMES.index(method))) * np.cos(y)
            stream = io.BytesIO()
            Image.fromarray(wave.astype(np.uint8)).convert("RGB").save(stream, "WEBP")
            return {
                "lengths": [asdict(length(method, unit, comparison)) for unit in comparison.units],
                "tiles": stream.getvalue(), "side": SIDE, "real": comparison.most if comparison.source else 0,
                "pictures": Path(comparison.source).name,
            }  # fmt: skip

        return self._job("measure", act, comparison, method, steps=STEPS)
