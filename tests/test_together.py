"""Runs that share their passes get what each would get alone, and one's trouble stays its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import network, tiny_spec
from vizcore import together
from vizcore.ascent import Ascent, Frame, ascend
from vizcore.images import Pixels
from vizcore.layers import Cut
from vizcore.spec import Knobs
from vizcore.zoo.load import Network


class Counted:
    """A cut network that notes how many rows it saw in each pass; every ``broken``-th row is refused."""

    def __init__(self, cut: Cut, refuse: int = 0) -> None:
        self.cut, self.refuse = cut, refuse
        self.seen: list[int] = []

    def __call__(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen.append(len(x))
        if self.refuse and len(x) >= self.refuse:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
        return self.cut(x)


def trio(net: Network, counted: bool = True, **values: Any) -> tuple[list[Ascent], Counted]:
    """Three runs of one network with other filters, seeds and knobs; their passes are counted."""
    specs = [
        tiny_spec(channels=(3,), steps=6, **values),
        tiny_spec(channels=(0, 5), steps=6, seed=7, tv=0.1, l1=0.01, **values),
        tiny_spec(channels=(1,), steps=3, objective="channel + 2*channel(3)", decay=0.01, **values),
    ]
    runs = [ascend(spec, net) for spec in specs]
    assert all(run.cut is runs[0].cut for run in runs)
    cut = Counted(runs[0].cut)
    for run in runs if counted else []:
        run.cut = cut  # type: ignore[assignment]
    return runs, cut


def lockstep(runs: list[Ascent]) -> list[Frame | Exception | None]:
    return [outcome() if callable(outcome) else outcome for outcome in together.lockstep(runs)]


def steps_of(runs: list[Ascent], count: int) -> list[list[Frame | Exception | None]]:
    return [lockstep(runs) for _ in range(count)]


@pytest.mark.parametrize("parameterization", ["fourier", "pixel"])
def test_each_run_gets_what_it_gets_alone(parameterization: str) -> None:
    runs, cut = trio(network(), parameterization=parameterization)
    alone, _ = trio(network(), parameterization=parameterization)
    for row, outcomes in enumerate(zip(*steps_of(runs, 7), strict=True)):
        expected = [*alone[row], None, None, None][:7]
        for found, wanted in zip(outcomes, expected, strict=True):
            assert (found is None) == (wanted is None)
            if isinstance(found, Frame) and wanted is not None:
                assert found.step == wanted.step
                np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-4, atol=1e-6)
                np.testing.assert_allclose(found.gradient_norms, wanted.gradient_norms, rtol=1e-3, atol=1e-7)
                assert np.abs(found.images.astype(int) - wanted.images).max() <= 1
    assert cut.seen == [4, 4, 4, 4, 3, 3, 3]  # one pass a step for all, and then for those that go on


def test_turned_knobs_act_in_their_own_run_only() -> None:
    shared, _ = trio(network())
    alone, _ = trio(network())
    for runs in (shared, alone):
        runs[0].knobs.set(2, "rate", 0.5)
    left = [outcome.scores for outcome in (lockstep(shared)[0] for _ in range(5)) if isinstance(outcome, Frame)]
    right = [next(alone[0]).scores for _ in range(5)]
    np.testing.assert_allclose(left, right, rtol=1e-4)
    plain, _ = trio(network())
    untouched = [next(plain[0]).scores for _ in range(5)]
    np.testing.assert_array_equal(right[:2], untouched[:2])
    assert not np.allclose(right[4], untouched[4], rtol=1e-3)


def test_filters_that_are_off_are_rescued_in_a_second_pass_of_their_own() -> None:
    net = network()
    with torch.no_grad():
        net.module.get_submodule("conv2").bias[2] = -1.2  # off at a grey picture, within reach of a redirected gradient
    specs = [tiny_spec("relu2", (2,), steps=8, rate=0.2), tiny_spec("relu2", (1,), steps=8, rate=0.2)]
    runs = [ascend(spec, net) for spec in specs]
    cut = Counted(runs[0].cut)
    for run in runs:
        run.cut = cut  # type: ignore[assignment]
    first = lockstep(runs)
    assert [outcome.status for outcome in first if isinstance(outcome, Frame)] == [("zero gradient",), ("ok",)]
    assert cut.seen == [2, 1]
    alone = ascend(specs[0], net)
    rest = [lockstep(runs)[0] for _ in range(7)]
    assert [next(alone).scores[0], *(next(alone).scores[0] for _ in range(7))] == pytest.approx(
        [first[0].scores[0], *(outcome.scores[0] for outcome in rest)],  # type: ignore[union-attr]
        rel=1e-3,
    )


def test_where_the_common_pass_fails_each_goes_alone_from_then_on() -> None:
    runs, cut = trio(network())
    cut.refuse = 3  # the four rows together are too many
    outcomes = lockstep(runs)
    assert all(isinstance(outcome, Frame) for outcome in outcomes)
    assert cut.seen == [4, 1, 2, 1]
    assert not runs[0].shares(runs[1])


def test_what_goes_wrong_in_one_run_ends_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, _ = trio(network())

    def broken(*_: object) -> None:
        raise ValueError("no such picture")

    monkeypatch.setattr(runs[1]._image, "canvas", broken)
    first, second, third = lockstep(runs)
    assert isinstance(first, Frame)
    assert isinstance(second, ValueError)
    assert isinstance(third, Frame)


def test_only_what_is_alike_shares() -> None:
    net = network()
    base = ascend(tiny_spec(channels=(0,)), net)
    assert base.shares(ascend(tiny_spec(channels=(1, 2), seed=3, rate=0.2), net))
    assert not base.shares(ascend(tiny_spec("relu1", channels=(0,)), net))
    assert not base.shares(ascend(tiny_spec(channels=(0,), size=20), net))
    assert not base.shares(ascend(tiny_spec(channels=(0,), pad=2), net))
    assert not base.shares(ascend(tiny_spec(channels=(0,), precision="bf16"), net))
    assert not base.shares(ascend(tiny_spec(channels=(0,)), network()))
    exact = [ascend(tiny_spec(channels=(0,)), net, exact=True) for _ in range(2)]
    assert not exact[0].shares(exact[1])


def test_a_network_that_has_learnt_since_is_folded_anew() -> None:
    net = network()
    before = ascend(tiny_spec(), net)
    with torch.no_grad():
        net.module.get_submodule("conv1").weight.mul_(2)
    after = ascend(tiny_spec(), net)
    assert not before.shares(after)
    assert after.shares(ascend(tiny_spec(), net))


def test_a_blur_is_as_precise_in_bf16_as_in_fp32() -> None:
    ends = []
    for precision in ("fp32", "bf16"):
        spec = tiny_spec(parameterization="pixel", precision=precision, steps=1, blur=1.0, blur_every=1, rate=1e-6)
        run = ascend(spec, network(), Knobs(spec))
        next(run)
        assert isinstance(run._image, Pixels)
        ends.append(run._image.parameter.detach().numpy())
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-5)
    assert np.ptp(ends[0]) > 0.01
