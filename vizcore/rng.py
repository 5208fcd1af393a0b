"""Random numbers by address: for equal (seed, channel, step) equal numbers, however often and in whatever batch."""

from __future__ import annotations

import numpy as np

START = 2**63  # the address of the start noise, which no step reaches
CROPS, NOISE = 1, 2  # what is drawn at a step beside its moves


def stream(seed: int, channel: int, step: int, purpose: int = 0) -> np.random.Generator:
    """The numbers that belong to one filter at one step (Philox: Salmon et al. 2011, counter-based).

    A filter alone thus draws what it draws in a batch, and a run continued from a checkpoint what it would have drawn.

    Args:
        purpose: 0 for moves and the start, others for what is drawn beside them (:data:`CROPS`, :data:`NOISE`).
    """
    return np.random.Generator(np.random.Philox(key=[seed, channel], counter=[0, 0, purpose, step]))
