"""Which filters of a layer answer to the same: the correlation of their activations over pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

NEIGHBOURS = 12


class Correlation:
    """Pearson's correlation of the channels of a layer over all positions of all pictures, in one pass.

    Means and products of deviations are merged batch by batch (Chan, Golub, LeVeque 1983, eq. 2.1), so a channel whose
    mean is far above its deviation loses nothing, and memory does not grow with the number of pictures.
    """

    def __init__(self, channels: int) -> None:
        self.count = 0
        self._mean = np.zeros(channels)
        self._products = np.zeros((channels, channels))

    def add(self, flat: Tensor) -> None:
        """The activations of a batch, ``[N, C, positions]``."""
        rows = flat.transpose(0, 1).flatten(1)  # [C, samples]
        count = rows.shape[1]
        mean = rows.double().mean(1)
        apart = rows - mean.to(rows.dtype)[:, None]
        products = (apart @ apart.T).double().cpu().numpy()
        step = mean.cpu().numpy() - self._mean
        total = self.count + count
        self._products += products + np.outer(step, step) * (self.count * count / total)
        self._mean += step * (count / total)
        self.count = total

    def matrix(self) -> NDArray[np.float64]:
        """The correlations ``[C, C]`` in [-1, 1]; 0 with a channel that never changes."""
        spread = np.sqrt(np.maximum(np.diag(self._products), 0))
        lives = spread > 1e-6 * max(float(spread.max(initial=0)), 1e-30)
        scale = np.where(lives, 1 / np.where(lives, spread, 1), 0)
        found: NDArray[np.float64] = (self._products * scale[:, None] * scale[None]).clip(-1, 1)
        return found


def nearest(matrix: NDArray[np.float64], count: int = NEIGHBOURS) -> list[list[tuple[int, float]]]:
    """The channels that correlate most with each, above 0, the nearest first, with their correlations."""
    found = []
    for channel, row in enumerate(matrix):
        order = np.argsort(-row, kind="stable")[: count + 1].tolist()
        found.append([(other, float(row[other])) for other in order if other != channel and row[other] > 0][:count])
    return found
