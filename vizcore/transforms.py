"""Small random moves of the picture before each step, so that what is found holds wherever it lies.

The moves are one resampling: zoom and turn about the centre, then shift, seen through a frame that is ``pad`` wider::

    ┌───────────────┐  pad: grey (the mean colour of the network's data, which is 0 after normalisation)
    │   ╱╲_         │
    │  ╱   ‾╲_      │  zoom  1 ± scale %,  turn ± rotate°,  shift ± jitter px (whole pixels, each axis)
    │  ‾╲_   ╱      │
    │     ‾╲╱       │
    └───────────────┘
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vizcore.arithmetic import sent
from vizcore.rng import CROPS, NOISE, stream


@dataclass(frozen=True)
class Moves:
    """What happens to each row: ``shift`` [N, 2] as (down, right) in px, ``zoom`` [N], ``turn`` [N] in degrees."""

    shift: np.ndarray
    zoom: np.ndarray
    turn: np.ndarray


def draw(seed: int, step: int, channels: Sequence[int], jitter: int, scale: float, rotate: float) -> Moves:
    """The moves of each row at a step.  A row's depend on its channel, not on the rows beside it.

    Every number is drawn whether it is needed or not, so turning one knob leaves the other moves as they were.
    """
    u = np.stack([stream(seed, channel, step).random(4) for channel in channels])
    shift = np.floor(u[:, :2] * (2 * jitter + 1)).astype(np.int64) - jitter
    return Moves(shift, 1 + scale / 100 * (2 * u[:, 2] - 1), rotate * (2 * u[:, 3] - 1))


def move(x: Tensor, moves: Moves, pad: int = 0, part: tuple[slice, slice] | None = None) -> Tensor:
    """``x`` ``[N, C, H, W]``, normalised, as ``[N, C, H + 2 pad, W + 2 pad]``; what comes in from outside is 0.

    No move is the identity, bit for bit; whole-pixel shifts copy; all else is one bilinear resampling.

    Args:
        part: rows and columns of the result that are wanted; all if not given.
    """
    if np.all(moves.zoom == 1) and np.all(moves.turn == 0):
        moved = _crop(x, moves.shift, pad)
        return moved if part is None else moved[:, :, part[0], part[1]]
    size = (x.shape[2] + 2 * pad, x.shape[3] + 2 * pad)
    grid = _grid(sent(_affine(moves, x.shape[2:], size), x.device), *size)
    if part is not None:
        return _sample(x, grid[:, part[0], part[1]])
    strips = _strips(len(x), size[0]) if x.device.type == "cpu" else 1
    if strips > 1:
        grid = grid.view(strips, size[0] // strips, size[1], 2)
        return _sample(x.expand(strips, -1, -1, -1), grid).transpose(0, 1).reshape(1, x.shape[1], *size)
    return _sample(x, grid)


def crop(x: Tensor, seed: int, step: int, channels: Sequence[int], count: int, side: float) -> Tensor:
    """``count`` square crops of each row of ``x`` ``[N, C, H, W]``, scaled to its size: ``[N count, C, H, W]``.

    Args:
        side: of a crop, as a share of the picture's; each is up to a fifth smaller or larger, and all inside.
    """
    u = np.stack([stream(seed, channel, step, CROPS).random((count, 3)) for channel in channels]).reshape(-1, 3)
    sides = np.minimum(side * (0.8 + 0.4 * u[:, 0]), 1)
    theta = np.zeros((len(u), 2, 3), np.float32)
    theta[:, 0, 0] = theta[:, 1, 1] = sides
    theta[:, :, 2] = (1 - sides)[:, None] * (2 * u[:, 1:] - 1)  # its middle (x, y); the picture fills [-1, 1]
    grid = _grid(sent(theta, x.device), *x.shape[2:])
    return _sample(x.repeat_interleave(count, 0), grid)


def noise(x: Tensor, seed: int, step: int, channels: Sequence[int], deviation: float) -> Tensor:
    """``x`` ``[N, C, H, W]`` with normal noise of this deviation."""
    drawn = [stream(seed, channel, step, NOISE).standard_normal(tuple(x.shape[1:]), np.float32) for channel in channels]
    return x + deviation * sent(np.stack(drawn), x.device)


def side_at(step: int, steps: int, first: float, last: float) -> float:
    """The side of crops at a step: from ``first`` to ``last`` along a straight line."""
    return first + (last - first) * min(step / steps, 1)


def _sample(x: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _strips(rows: int, height: int) -> int:
    """Into how many strips a single picture is cut, because PyTorch gives each thread a whole picture."""
    most = torch.get_num_threads() if rows == 1 else 1
    return next(count for count in range(most, 0, -1) if height % count == 0)


def _grid(theta: Tensor, height: int, width: int) -> Tensor:
    """:func:`torch.nn.functional.affine_grid`, as a sum of rows and columns of complex numbers: 6 times as fast."""
    towards_x, towards_y, centre = torch.view_as_complex(theta.transpose(1, 2).contiguous()).unbind(1)  # each [N]
    rows = centre[:, None] + towards_y[:, None] * _middles(height, theta.device)
    columns = towards_x[:, None] * _middles(width, theta.device)
    return torch.view_as_real(rows[:, :, None] + columns[:, None, :])


@functools.lru_cache(maxsize=16)
def _middles(size: int, device: torch.device) -> Tensor:
    """The middles of ``size`` pixels that fill [-1, 1]."""
    return torch.arange(1 - size, size, 2, device=device) / size


def _crop(x: Tensor, shift: np.ndarray, pad: int) -> Tensor:
    reach = int(np.abs(shift).max(initial=0))
    if reach == 0 and pad == 0:
        return x
    height, width = x.shape[2] + 2 * pad, x.shape[3] + 2 * pad
    framed = F.pad(x, [pad + reach] * 4)
    if reach == 0:
        return framed
    return torch.stack(
        [row[:, reach - down : reach - down + height, reach - right : reach - right + width]
         for row, (down, right) in zip(framed, shift.tolist(), strict=True)]
    )  # fmt: skip


def _affine(moves: Moves, before: Sequence[int], after: Sequence[int]) -> np.ndarray:
    """Where in the picture a pixel of the frame comes from: ``[N, 2, 3]`` for :func:`torch.nn.functional.affine_grid`.

    In pixels from the centre, ``in = R(-turn) (out - shift) / zoom``; both are then in units of half the size.
    """
    angle = np.deg2rad(moves.turn)
    cos, sin = np.cos(angle) / moves.zoom, np.sin(angle) / moves.zoom
    inverse = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], 1)  # [N, (x, y), (x, y)]
    half_in = np.array([before[1], before[0]]) / 2
    half_out = np.array([after[1], after[0]]) / 2
    linear = inverse * half_out / half_in[:, None]
    offset = -(inverse @ moves.shift[:, ::-1, None].astype(float))[..., 0] / half_in
    return np.concatenate([linear, offset[..., None]], -1).astype(np.float32)
