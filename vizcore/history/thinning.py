"""Which steps keep their pictures, so that a run fits its share of the disk."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from vizcore.errors import SpecError
from vizcore.history.codec import LOSSLESS_SIDE
from vizcore.spec import RunSpec

MIB = 1024**2
RUN_MIB = 512
LIBRARY_MIB = 4096
CLOSEST = 32  # steps from checkpoint to checkpoint: closer ones would cost more time than they save
FIRST = 32  # the opening steps, in which the picture changes most, all stay


def run_limit() -> int:
    """Bytes that one run may take: setting ``VIZCORE_RUN_MIB``, 512 MiB if unset."""
    return _setting("VIZCORE_RUN_MIB", RUN_MIB)


def library_limit() -> int:
    """Bytes that all runs may take together: setting ``VIZCORE_LIBRARY_MIB``, 4 GiB if unset."""
    return _setting("VIZCORE_LIBRARY_MIB", LIBRARY_MIB)


def _setting(name: str, default: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default * MIB
    if not text.isdecimal() or int(text) < 1:
        raise SpecError(f"The setting {name} is no number of MiB.", f"Use for example {name}={default}.")
    return int(text) * MIB


def frame_bytes(size: int) -> int:
    """About what a picture of ``size`` × ``size`` px takes.

    Measured on finished pictures at 128 px: JPEG quality 95, 4:4:4: Classic 0.6, Crisp 1.1, Raw 2.0 bytes per pixel;
    lossless WebP at 64 px: about 2.  A run that turns out to need more is thinned while it is written.
    """
    return (2 if size <= LOSSLESS_SIDE else 1) * size * size + 700


def stride(spec: RunSpec, limit: int | None = None) -> int:
    """The smallest power of two ``s`` so that keeping every s-th step fits three eighths of ``limit`` bytes.

    The rest is for checkpoints (:func:`checkpoint_every`).  The first 32 steps are counted in full.
    """
    budget = (run_limit() if limit is None else limit) * 3 // 8
    each = len(spec.channels) * frame_bytes(spec.extent)
    result = 1
    while result < spec.steps and (min(FIRST, spec.steps) + max(spec.steps - FIRST, 0) // result) * each > budget:
        result *= 2
    return result


def checkpoint_every(spec: RunSpec, steps: int | None = None, limit: int | None = None) -> int:
    """The fewest steps, 32 at least, between checkpoints of which all fit five eighths of ``limit`` bytes.

    A step whose pictures were thinned out is computed again from the checkpoint before it, so this is how many steps
    that takes at most.  For 16 filters at 128 px and 2,000 steps within 512 MiB it is 59, which take 4 s on two cores.
    """
    budget = (run_limit() if limit is None else limit) * 5 // 8
    total = spec.steps if steps is None else steps
    gaps = max(budget // checkpoint_bytes(spec) - 1, 1)  # one more checkpoint than gaps
    return max(CLOSEST, -(-total // gaps))


def checkpoint_bytes(spec: RunSpec) -> int:
    """What a checkpoint takes: image and Adam's two moments, float32 [N, 3, H, W] or its half spectrum.

    Grey networks take a third of it.
    """
    if spec.octaves:
        return 3 * spec.side**2 * 4
    values = spec.size * (spec.size + 2) if spec.parameterization == "fourier" else spec.size**2
    arrays = 3 if spec.optimizer == "adam" else 1
    return arrays * len(spec.channels) * 3 * values * 4


def kept_ranges(steps: Iterable[int] | NDArray[np.int64]) -> list[list[int]]:
    """Ascending ``steps`` in compact form: ``[first, last, stride]`` triples (stride 1 for a single step)."""
    found = np.asarray(steps if isinstance(steps, np.ndarray) else list(steps), np.int64)
    gaps = np.diff(found)
    turns = np.flatnonzero(np.diff(gaps)) + 1  # where the gap is another than before
    ranges: list[list[int]] = []
    at, last = 0, len(found) - 1
    while at < last:
        turn = np.searchsorted(turns, at, "right")
        end = int(turns[turn]) if turn < len(turns) else last
        ranges.append([int(found[at]), int(found[end]), int(gaps[at])])
        at = end + 1
    if at == last:
        ranges.append([int(found[at]), int(found[at]), 1])
    return ranges
