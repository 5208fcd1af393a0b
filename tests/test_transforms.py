"""Moves stay in their documented ranges, depend on their own row, and put each pixel where geometry says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from vizcore.transforms import Moves, draw, move


def moves(down: int = 0, right: int = 0, zoom: float = 1.0, turn: float = 0.0, rows: int = 1) -> Moves:
    return Moves(np.tile([down, right], (rows, 1)), np.full(rows, zoom), np.full(rows, turn))


@given(
    seed=st.integers(0, 2**31 - 1),
    step=st.integers(0, 8192),
    jitter=st.integers(0, 32),
    scale=st.floats(0, 20),
    rotate=st.floats(0, 30),
)
def test_ranges_are_those_documented(seed: int, step: int, jitter: int, scale: float, rotate: float) -> None:
    drawn = draw(seed, step, range(8), jitter, scale, rotate)
    assert np.abs(drawn.shift).max() <= jitter
    assert np.abs(drawn.zoom - 1).max() <= scale / 100 + 1e-12
    assert np.abs(drawn.turn).max() <= rotate


def test_ranges_are_used_up_evenly() -> None:
    drawn = [draw(0, step, [0, 1], 2, 10, 10) for step in range(1500)]
    shifts = np.concatenate([d.shift.ravel() for d in drawn])
    counts = np.bincount(shifts + 2, minlength=5)
    assert len(counts) == 5
    assert counts.min() > 0.85 * len(shifts) / 5  # both ends as often as the middle
    zooms, turns = np.concatenate([d.zoom for d in drawn]), np.concatenate([d.turn for d in drawn])
    assert (zooms.min(), zooms.max()) == pytest.approx((0.9, 1.1), abs=1e-3)
    assert (turns.min(), turns.max()) == pytest.approx((-10, 10), abs=0.1)


def test_a_row_has_its_moves_in_any_batch_and_keeps_them_when_a_knob_turns() -> None:
    batch, alone = draw(3, 7, (5, 12, 40), 8, 10, 10), draw(3, 7, (12,), 8, 10, 10)
    assert batch.shift[1].tolist() == alone.shift[0].tolist()
    assert (batch.zoom[1], batch.turn[1]) == (alone.zoom[0], alone.turn[0])
    assert len(set(batch.zoom)) == len(set(batch.turn)) == 3
    assert draw(3, 7, (12,), 0, 10, 0).zoom == alone.zoom
    assert draw(3, 8, (12,), 8, 10, 10).zoom != alone.zoom
    assert draw(4, 7, (12,), 8, 10, 10).zoom != alone.zoom


def test_no_move_is_the_identity() -> None:
    x = torch.rand(2, 3, 9, 12)
    assert move(x, draw(0, 0, (0, 1), 0, 0, 0)) is x


@settings(deadline=None)
@given(down=st.integers(-5, 5), right=st.integers(-5, 5), pad=st.integers(0, 4))
def test_shifts_copy_pixels_exactly(down: int, right: int, pad: int) -> None:
    x = torch.arange(1.0, 9 * 12 + 1).view(1, 1, 9, 12)
    expected = np.zeros((9 + 2 * pad, 12 + 2 * pad))
    for row in range(9):
        for column in range(12):
            y, z = row + pad + down, column + pad + right
            if 0 <= y < expected.shape[0] and 0 <= z < expected.shape[1]:
                expected[y, z] = x[0, 0, row, column]
    np.testing.assert_array_equal(move(x, moves(down, right), pad)[0, 0], expected)
    # The resampling, at a zoom of almost 1, agrees with the copy.
    np.testing.assert_allclose(move(x, moves(down, right, 1 + 1e-7), pad)[0, 0], expected, atol=1e-2)


@pytest.mark.parametrize(("zoom", "turn"), [(1.1, 0.0), (0.9, 0.0), (1.0, 10.0), (0.93, -25.0), (1.2, 30.0)])
def test_resampling_agrees_with_scipy(zoom: float, turn: float) -> None:
    height, width, pad, down, right = 15, 20, 3, 2, -1
    x = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((height, width)), 1)
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    inverse = np.array([[cos, -sin], [sin, cos]]) / zoom  # acts on (row, column)
    before, after = np.array([height - 1, width - 1]) / 2, np.array([height + 2 * pad - 1, width + 2 * pad - 1]) / 2
    offset = before - inverse @ (after + np.array([down, right]))
    framed = ndimage.affine_transform(np.pad(x, 1), inverse, offset + 1, (height + 2 * pad, width + 2 * pad), order=1)
    got = move(torch.from_numpy(x).float()[None, None], moves(down, right, zoom, turn), pad)
    np.testing.assert_allclose(got[0, 0], framed, atol=1e-4)


def test_rows_move_by_themselves() -> None:
    x = torch.rand(3, 3, 16, 16)
    drawn = draw(0, 0, (4, 5, 6), 4, 10, 10)
    together = move(x, drawn, 2)
    for row in range(3):
        one = Moves(drawn.shift[row : row + 1], drawn.zoom[row : row + 1], drawn.turn[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], move(x[row : row + 1], one, 2))


def test_a_picture_that_is_shifted_away_leaves_grey() -> None:
    assert move(torch.ones(1, 3, 8, 8), moves(20, 0)).abs().max() == 0


def test_a_single_picture_is_moved_in_strips_as_it_is_in_a_batch() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        x = torch.rand(1, 3, 20, 24, requires_grad=True)
        some = Moves(np.array([[2, -1]]), np.array([1.07]), np.array([6.0]))
        alone = move(x, some, 3)  # 26 rows: two strips
        up = torch.rand_like(alone)
        (gradient,) = torch.autograd.grad(alone, x, up)
        pair = move(
            torch.cat([x, x]), Moves(*(np.repeat(v, 2, 0) for v in (some.shift, some.zoom, some.turn))), 3
        )  # fmt: skip
        (wanted,) = torch.autograd.grad(pair[:1], x, up)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone, pair[:1])
    torch.testing.assert_close(gradient, wanted, rtol=1e-5, atol=1e-6)
    assert alone.shape == (1, 3, 26, 30)
