"""Sweeps: which settings, and what pictures are ranked by."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import pytest
import torch

from tests.tiny import network, tiny_spec
from vizcore import ranking, sweep
from vizcore.ascent import score
from vizcore.errors import SpecError
from vizcore.spec import PARAMS, build

ONE = build("digits", "conv1", (3,))


def test_a_grid_is_every_combination() -> None:
    points = sweep.grid({"blur": ["0.5", 1], "rate": [0.1, 0.2, 0.1]})
    assert points == [
        {"blur": 0.5, "rate": 0.1}, {"blur": 0.5, "rate": 0.2}, {"blur": 1.0, "rate": 0.1}, {"blur": 1.0, "rate": 0.2},
    ]  # fmt: skip
    plan = sweep.plan(ONE, points)
    assert [(spec.blur, spec.rate, spec.jitter) for spec in plan] == [
        (0.5, 0.1, 8), (0.5, 0.2, 8), (1.0, 0.1, 8), (1.0, 0.2, 8),
    ]  # fmt: skip
    assert sweep.grid({"size": [64, 128]}) == [{"size": 64}, {"size": 128}]


@pytest.mark.parametrize(
    "axes", [{}, {"a": [1]}, {"blur": []}, {"blur": [99]}, {"blur": [0], "rate": [1], "tv": [1]}, {"seed": range(65)}]
)
def test_bad_grids(axes: dict[str, list[object]]) -> None:
    with pytest.raises(SpecError):
        sweep.grid(axes)


def test_draws_are_in_range_repeatable_and_leave_each_regularizer_off_half_the_time() -> None:
    points = [point for seed in range(10) for point in sweep.draws(64, seed)]
    assert points[:64] == sweep.draws(64, 0)
    assert points[:64] != points[64:128]
    for name, (low, high, _) in sweep.REGULARIZERS.items():
        values = np.array([float(point[name]) for point in points])
        on = values[values > 0]
        assert 0.44 < len(on) / len(values) < 0.56
        assert low * 0.99 <= on.min() <= on.max() <= high * 1.01
        assert PARAMS[name].minimum <= low < high <= PARAMS[name].maximum
    assert {int(point["blur_every"]) for point in points} == set(range(1, 9))
    for count in (0, 65):
        with pytest.raises(SpecError):
            sweep.draws(count)


def test_a_sweep_is_of_one_filter() -> None:
    with pytest.raises(SpecError, match="one filter"):
        sweep.plan(build("digits", "conv1", (3, 4)), [{"blur": 1.0}])
    facts = sweep.facts([{"blur": 1.0}, {"blur": 2.0}])
    assert facts[0]["sweep"]["id"] == facts[1]["sweep"]["id"]
    assert [fact["sweep"]["values"] for fact in facts] == [{"blur": 1.0}, {"blur": 2.0}]


def test_total_variation_of_known_pictures() -> None:
    board = torch.zeros(1, 3, 8, 8)
    board[:, :, ::2, ::2] = board[:, :, 1::2, 1::2] = 1
    stripes = torch.zeros(1, 3, 8, 8)
    stripes[:, :, ::2] = 0.5
    found = ranking.tv(torch.cat([board, stripes, torch.full((1, 3, 8, 8), 0.7)]))
    assert found.tolist() == pytest.approx([1.0, 0.25, 0.0])


def test_held_out_moves_are_the_same_for_all_and_none_of_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    net, spec = network(), tiny_spec(channels="0-3", size=32)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    together = finish(ranking.held_out(spec, net, images))
    alone = finish(ranking.held_out(spec.replace(channels=(2,)), net, images[2:3]))
    assert together[2].item() == pytest.approx(alone.item(), rel=1e-5)
    plain = score(spec, net, images)
    assert (together - plain).abs().max() > 1e-4
    assert (together - plain).abs().max() < plain.abs().max()
    for name in ("ZOOM", "TURN"):
        monkeypatch.setattr(ranking, name, 0.0)
    monkeypatch.setattr(ranking.np, "floor", lambda u: np.full_like(u, 2.0))  # 2 - reach = 0: no shift
    np.testing.assert_allclose(finish(ranking.held_out(spec, net, images)), plain, rtol=1e-5)


def finish(work: Generator[ranking.Progress, None, torch.Tensor]) -> torch.Tensor:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
