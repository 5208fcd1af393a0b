"""Adam against PyTorch's own; rates against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from vizcore.optimizers import Adam, PlainAscent, rate_of


@pytest.mark.parametrize("per_row", [False, True])
def test_adam_is_pytorchs(per_row: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 5, generator=generator)
    reference = x.clone().requires_grad_()
    theirs, ours = torch.optim.Adam([reference], lr=0.03), Adam(x)
    for step in range(20):
        gradient = torch.randn(3, 4, 5, generator=generator) * 10.0 ** (step % 5 - 2)
        reference.grad = gradient
        theirs.step()
        ours.update(x, gradient, torch.full((3,), 0.03) if per_row else 0.03, step)
    torch.testing.assert_close(x, reference.detach(), atol=1e-6, rtol=1e-5)


def test_the_order_of_memory_does_not_matter() -> None:
    gradient, x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 3, 4, 5)
    y = x.clone()
    Adam(x).update(x, gradient, 0.1, 0)
    Adam(y).update(y, gradient.contiguous(memory_format=torch.channels_last), 0.1, 0)
    assert torch.equal(x, y)


def test_rows_have_their_own_rates() -> None:
    for optimizer in (PlainAscent(), Adam(torch.zeros(2, 4))):
        x = torch.zeros(2, 4)
        optimizer.update(x, torch.ones(2, 4), torch.tensor([0.1, 0.0]), 0)
        torch.testing.assert_close(x, torch.tensor([[-0.1], [0.0]]).expand(2, 4))


def test_adam_goes_on_from_its_state() -> None:
    x = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    y, first, second = x.clone(), Adam(x), Adam(x)
    first.update(x, torch.ones_like(x), 0.1, 0)
    first.update(x, x.clone(), 0.1, 1)
    other = Adam(y)
    other.update(y, torch.ones_like(y), 0.1, 0)
    second.load(other.state())
    second.update(y, y.clone(), 0.1, 1)
    assert torch.equal(x, y)


def test_policies() -> None:
    norms = torch.tensor([0.0, 0.5, 2.0, 100.0])
    assert rate_of("constant", 7, 10, 0.3, 2.0, norms) == 0.3
    assert [rate_of("cosine", step, 10, 0.3, 2.0, norms) for step in (0, 5, 10, 11)] == pytest.approx([0.3, 0.15, 0, 0])
    assert rate_of("cosine", 5, 20, 0.3, 2.0, norms) == pytest.approx(0.15 * (1 + math.cos(math.pi / 4)))
    torch.testing.assert_close(rate_of("progress", 7, 10, 3.0, 2.0, norms), torch.tensor([3.0, 3.0, 0.5, 0.0002]))


def test_moments_that_begin_later_have_their_own_clock() -> None:
    gradient = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    late, early = torch.zeros(2, 5), torch.zeros(2, 5)
    ours, theirs = Adam(late, begin=40), Adam(early)
    for step in range(3):
        ours.update(late, gradient, 0.1, 40 + step)
        theirs.update(early, gradient, 0.1, step)
    assert torch.equal(late, early)
