"""Correlations of channels, against numpy on all activations at once."""

from __future__ import annotations

import numpy as np
import torch

from vizcore.look.similar import Correlation, nearest


def test_correlations_are_those_of_numpy() -> None:
    generator = np.random.default_rng(0)
    base = generator.normal(size=(50, 3, 12))
    values = np.einsum("oc,ncp->nop", generator.normal(size=(7, 3)), base) + 0.3 * generator.normal(size=(50, 7, 12))
    values[:, 2] += 1000  # a mean far above the deviation
    values[:, 4] = 3.5  # never changes
    moments = Correlation(7)
    for batch in np.split(values, [1, 20, 21, 43]):
        moments.add(torch.from_numpy(batch.astype(np.float32)))
    found = moments.matrix()
    lives = [0, 1, 2, 3, 5, 6]
    wanted = np.corrcoef(values.transpose(1, 0, 2).reshape(7, -1)[lives])
    np.testing.assert_allclose(found[np.ix_(lives, lives)], wanted, atol=2e-5)
    assert not found[4].any()
    assert not found[:, 4].any()


def test_neighbours_are_the_others_that_correlate_most() -> None:
    matrix = np.array([[1, 0.2, 0.9, -0.8], [0.2, 1, 0.1, 0.0], [0.9, 0.1, 1, -0.5], [-0.8, 0.0, -0.5, 1]])
    assert nearest(matrix, 2) == [[(2, 0.9), (1, 0.2)], [(0, 0.2), (2, 0.1)], [(0, 0.9), (1, 0.1)], []]
