"""Many runs of one filter that differ in some parameters: a grid, or random draws over all regularizers.

The presets of Yosinski et al. 2015 were found by such a random search.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vizcore.errors import SpecError
from vizcore.params import Value
from vizcore.spec import PARAMS, RunSpec, unknown_parameter

MAX_RUNS = 64

REGULARIZERS: dict[str, tuple[float, float, bool]] = {
    "decay": (1e-4, 0.3, True),
    "blur": (0.3, 2.0, False),
    "small_value": (5.0, 90.0, False),
    "small_norm": (5.0, 90.0, False),
    "small_benefit": (5.0, 90.0, False),
    "small_contribution": (5.0, 90.0, False),
    "tv": (1e-5, 1e-1, True),
    "l1": (1e-5, 1e-1, True),
}
"""Lowest and highest value of a draw, and whether it is even on a log scale; each is off in half of the draws."""

Point = dict[str, Value]


def grid(axes: Mapping[str, Sequence[object]]) -> list[Point]:
    """Every combination of the values of one or two parameters, the last one changing fastest.

    Raises:
        SpecError: no or more than two parameters, an unknown one, a value out of range, or more than 64 runs.
    """
    if not 1 <= len(axes) <= 2:
        raise SpecError("A grid has one or two parameters.", "Name for example blur and decay.")
    checked: dict[str, list[Value]] = {}
    for name, values in axes.items():
        if name not in PARAMS:
            raise unknown_parameter(name)
        checked[name] = list(dict.fromkeys(PARAMS[name].coerce(value) for value in values))
    points = [dict(zip(checked, point, strict=True)) for point in itertools.product(*checked.values())]
    return _few(points)


def draws(count: int, seed: int = 0) -> list[Point]:
    """``count`` random settings of all regularizers; equal for equal seeds.

    Raises:
        SpecError: none, or more than 64.
    """
    if not 1 <= count <= MAX_RUNS:
        raise SpecError(f"A sweep has 1 to {MAX_RUNS} runs.", "Draw for example 16.")
    random = np.random.default_rng(int(PARAMS["seed"].coerce(seed)))
    return [_draw(random) for _ in range(count)]


def _draw(random: np.random.Generator) -> Point:
    point: Point = {}
    for name, (low, high, log) in REGULARIZERS.items():
        on, u = random.random(2)  # both each time, so that a new regularizer leaves the others' draws alone
        value = low * (high / low) ** u if log else low + (high - low) * u
        point[name] = PARAMS[name].coerce(float(f"{value:.3g}")) if on >= 0.5 else 0.0
    point["blur_every"] = int(random.integers(1, 9))
    return point


def plan(spec: RunSpec, points: Sequence[Point]) -> list[RunSpec]:
    """The specs of a sweep of ``spec``, which has one filter.

    Raises:
        SpecError: more than one filter, none or more than 64 points, a value out of range.
    """
    if len(spec.channels) != 1:
        raise SpecError("A sweep is of one filter.", "Choose the filter first.")
    return [spec.replace(**point) for point in _few(points)]


def facts(points: Sequence[Point]) -> list[dict[str, Any]]:
    """What the run files of a sweep say of it, under the key ``sweep``: its id, and the parameters of the run."""
    name = secrets.token_hex(4)
    return [{"sweep": {"id": name, "number": number, "values": point}} for number, point in enumerate(points)]


def _few(points: Sequence[Point]) -> list[Point]:
    if not 1 <= len(points) <= MAX_RUNS:
        raise SpecError(f"A sweep has 1 to {MAX_RUNS} runs, not {len(points)}.", "Take fewer values.")
    return list(points)
