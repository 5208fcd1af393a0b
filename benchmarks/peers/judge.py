"""How good a picture is: what it does to its filter under moves that nobody ascended with, and how natural it is.

* *held-out score*: mean activation of the filter in fp32, averaged over 16 fixed draws of lucent's transforms (grey
  frame 12, jitter 8, zoom 1 ± 0.1, turn ± 10°) from a seed of their own, of the picture enlarged to the case's size.
* *variation*: mean absolute difference between neighbouring pixels, of values in [0, 1].
* *spectrum distance*: root mean square, over octaves of a picture's radial power spectrum, of the difference in
  decades to the mean log spectrum of photographs of the same size.  0 is a photograph's; photographs themselves differ
  by about what :func:`naturalness_of_photographs` says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.peers import tools
from benchmarks.peers.cases import Case
from benchmarks.render import SHARED, photographs
from vizcore import objectives, transforms
from vizcore.arithmetic import like
from vizcore.layers import Cut
from vizcore.spec import build
from vizcore.zoo.load import load

DRAWS, SEED = 16, 20_261_121


class Judge:
    """Scores pictures of the filters of a case."""

    def __init__(self, case: Case) -> None:
        self._network = load(case.weights, case.arch)
        like(self._network.module, torch.device("cpu"))
        self._case = case
        spec = build(case.weights, case.layer, case.channels, arch=case.arch, size=case.size)
        self._objective = objectives.parse(spec.objective, spec.layer, spec.channels, self._network.card)
        self._cut = Cut(self._network.module, self._objective.layers)

    def scores(self, pictures: np.ndarray, rows: list[int] | None = None) -> np.ndarray:
        """Held-out scores ``[N]`` of uint8 pictures ``[N, H, W, 3]`` of some rows of the case (all by default)."""
        rows = list(range(len(self._case.channels))) if rows is None else rows
        channels = [self._case.channels[row] for row in rows]
        objective = self._objective.rows(rows)
        x = self._network.normalize(enlarged(pictures, self._case.size))
        total = torch.zeros(len(rows))
        with torch.no_grad():
            for draw in range(DRAWS):
                moves = transforms.draw(SEED, draw, channels, tools.JITTER, 100 * tools.ZOOM, tools.TURN)
                total += objective(self._cut(transforms.move(x, moves, tools.PAD)))
        return (total / DRAWS).numpy()


def enlarged(pictures: np.ndarray, size: int) -> Tensor:
    """``[N, 3, size, size]`` in [0, 1] of uint8 pictures ``[N, H, W, 3]``, as lucent enlarges: by corners, linearly."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    return x if x.shape[2] == size else F.interpolate(x, (size, size), mode="bilinear", align_corners=True)


def variation(pictures: Tensor) -> np.ndarray:
    """``[N]`` of pictures ``[N, 3, H, W]`` in [0, 1]."""
    down = (pictures[:, :, 1:] - pictures[:, :, :-1]).abs().flatten(1).mean(1)
    right = (pictures[..., 1:] - pictures[..., :-1]).abs().flatten(1).mean(1)
    return ((down + right) / 2).numpy()


def spectrum(pictures: Tensor) -> np.ndarray:
    """Log10 of the radial power spectrum ``[N, octaves]``: mean power from 1 to 2 cycles per picture, from 2 to 4, …

    The picture's grey is taken, less its mean, faded out towards the edge (Hann), so that edges do not count.
    """
    size = pictures.shape[2]
    grey = pictures.mean(1)
    window = torch.hann_window(size, periodic=False)
    window = window[:, None] * window[None]
    mean = (grey * window).sum((1, 2), keepdim=True) / window.sum()
    power = torch.fft.rfft2((grey - mean) * window, norm="ortho").abs().square()
    cycles = (torch.fft.fftfreq(size)[:, None].hypot(torch.fft.rfftfreq(size)[None]) * size).round()
    edges = [2**k for k in range(int(np.log2(size)))]  # up to size / 2, the highest that a row can hold
    rings = [power[:, (cycles >= low) & (cycles < 2 * low)].mean(1) for low in edges]
    return torch.stack(rings, 1).clamp(min=1e-12).log10().numpy()


def distance(pictures: Tensor, natural: np.ndarray) -> np.ndarray:
    """Spectrum distance ``[N]`` in decades to the mean of photographs' spectra ``[K, octaves]``."""
    difference = spectrum(pictures) - natural.mean(0)
    return np.asarray(np.sqrt(np.square(difference).mean(1)))


def photographs_of(size: int, folder: Path = SHARED / "images") -> Tensor:
    """Photographs ``[K, 3, size, size]`` in [0, 1] to hold pictures against."""
    return photographs(folder, size)


def naturalness(pictures: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Variation and spectrum distance of uint8 pictures, enlarged to the size."""
    x = enlarged(pictures, size)
    return variation(x), distance(x, spectrum(photographs_of(size)))


def naturalness_of_photographs(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of the photographs, each held against the others."""
    x = photographs_of(size)
    lines = spectrum(x)
    others = [distance(x[k : k + 1], np.delete(lines, k, 0))[0] for k in range(len(x))]
    return variation(x), np.array(others)
