"""Rank correlation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """The rank of each value, from 0; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    result: NDArray[np.float64] = (last - (counts + 1) / 2)[inverse.reshape(-1)]
    return result


def spearman(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Spearman's rank correlation of two arrays with equally many values; 0 if one of them is constant."""
    return float(centred(a) @ centred(b))


def centred(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks about their mean, of length 1 (0 for constant values): the product of two is Spearman's correlation."""
    found = ranks(values.reshape(-1))
    found -= found.mean()
    length = float(np.sqrt(found @ found))
    return found / length if length else found
