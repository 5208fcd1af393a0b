"""Numbers depend on their address only."""

from __future__ import annotations

import numpy as np

from vizcore.rng import START, stream


def test_equal_addresses_have_equal_numbers_and_no_others() -> None:
    addresses = [
        (seed, channel, step) for seed in (0, 1, 2**31 - 1) for channel in (0, 1, 999) for step in (0, 1, 8192, START)
    ]
    drawn = {address: tuple(stream(*address).random(4)) for address in addresses}
    assert len(set(drawn.values())) == len(addresses)
    assert all(tuple(stream(*address).random(4)) == numbers for address, numbers in reversed(drawn.items()))


def test_one_stream_does_not_run_into_the_next_steps() -> None:
    long, following = stream(0, 0, 0).random(4096), stream(0, 0, 1).random(64)
    assert not np.isin(following, long).any()
