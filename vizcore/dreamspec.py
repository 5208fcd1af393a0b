"""Dreams as values: their specs, and which step belongs to which octave.  No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vizcore.errors import SpecError
from vizcore.params import Value
from vizcore.spec import PARAMS, RunSpec, build

DEFAULTS: dict[str, Value] = {
    "octaves": 4, "octave_scale": 1.4, "side": 512, "tile": 512, "zoom_frames": 0, "zoom": 3.0, "zoom_steps": 2,
    "rate": 0.01, "jitter": 32, "start": 0.1, "policy": "constant", "optimizer": "ascent", "parameterization": "pixel",
    "decay": 0.0, "scale": 0.0, "rotate": 0.0, "pad": 0, "decorrelate": False,
}  # fmt: skip
"""Values by which a dream differs from the defaults of a spec."""

STEPS = 10  # in each octave, unless said otherwise


def dream(
    model: str, layer: str, channels: Sequence[int] = (0,), objective: str = "layer", arch: str | None = None,
    steps: int = STEPS, **values: Any,
) -> RunSpec:  # fmt: skip
    """The spec of a dream.

    Args:
        steps: in each octave.
        values: other fields of the spec; those that differ for dreams have the values of :data:`DEFAULTS`.

    Raises:
        SpecError: a value out of range.
    """
    chosen = {**DEFAULTS, **values}
    octaves = int(PARAMS["octaves"].coerce(chosen["octaves"]))
    frames, each = (int(PARAMS[name].coerce(chosen[name])) for name in ("zoom_frames", "zoom_steps"))
    if octaves < 1:
        raise SpecError("A dream has at least one octave.", "Use for example 4.")
    if steps < 1:
        raise SpecError("An octave has at least one step.", "Use for example 10.")
    total = PARAMS["steps"].coerce(octaves * steps + frames * each)
    return build(model, layer, channels, arch=arch, objective=objective, **{**chosen, "steps": total})


def octave_of(spec: RunSpec, step: int) -> int:
    """The octave of a step; of all that come behind the octaves, the last."""
    return min(step * spec.octaves // dreamt(spec), spec.octaves - 1)


def zooms_at(spec: RunSpec, step: int) -> bool:
    """Whether the picture is enlarged before this step."""
    behind = step - dreamt(spec)
    return spec.zoom_frames > 0 and behind >= 0 and behind % spec.zoom_steps == 0 and step < spec.steps


def journey(spec: RunSpec) -> list[int]:
    """The steps whose pictures are the journey's: the end of the dream, then each zoom frame when it is finished."""
    first = dreamt(spec)
    return [first - 1, *range(first + spec.zoom_steps - 1, spec.steps - 1, spec.zoom_steps), spec.steps]


def dreamt(spec: RunSpec) -> int:
    """Steps of all octaves together; behind them comes the journey."""
    return spec.steps - spec.zoom_frames * spec.zoom_steps
