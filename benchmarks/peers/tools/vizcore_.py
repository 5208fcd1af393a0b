"""vizcore itself; ``options`` are values of the spec, such as ``precision``, ``pad`` or ``rate``."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers import tools
from benchmarks.peers.cases import Case
from vizcore.ascent import ascend
from vizcore.spec import build
from vizcore.zoo.load import load


class Vizcore:
    def __init__(self, case: Case, values: dict[str, Any]) -> None:
        values = {"size": case.size, "steps": 8192, "pad": tools.PAD, **values}
        spec = build(case.weights, case.layer, case.channels, arch=case.arch, **values)
        self._keep = False
        self._ascent = ascend(spec, load(case.weights, case.arch), keep=lambda step: self._keep)
        self.precision = self._ascent.precision

    def run(self, steps: int) -> None:
        for _ in range(steps):
            next(self._ascent)

    def pictures(self) -> np.ndarray:
        """Those before the next step, which is made."""
        self._keep = True
        frame = next(self._ascent)
        self._keep = False
        assert frame.images is not None
        return frame.images


def make(case: Case, options: dict[str, Any]) -> Vizcore:
    return Vizcore(case, options)
