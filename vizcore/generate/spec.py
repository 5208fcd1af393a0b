"""Parameters of a walk through codes, and the variants of the papers as values that differ from the defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from vizcore.errors import SpecError
from vizcore.params import Param, Value, collect, param


@dataclass(frozen=True)
class Walk:
    """How codes walk; the hot ones may be turned between two steps.

    Update (Nguyen et al. 2017, equation 11, as the published code does it)::

        d ← ε1 · prior + ε2 · gradient + ε4 · gradient of what is known + N(0, ε3²)
        h ← keep · box(h + rate · scale · d / mean|d|)
    """

    steps: int = param(200, "Steps", "How long a chain is.", "Walk", minimum=1, maximum=100_000, hot=True)
    rate: float = param(0.2, "Rate", "Length of a step, in deviations of the code.", "Walk",
                        minimum=0, maximum=1e4, log=True, hot=True, unit="sd")  # fmt: skip
    rate_end: float = param(0.0, "Last rate", "Length of the last step; on the way it moves evenly.", "Walk",
                            minimum=0, maximum=1e4, step=0.001, log=True, hot=True, unit="sd")  # fmt: skip
    eps1: float = param(1e-5, "ε1, prior", "Weight of the direction of likelier codes.", "Walk",
                        minimum=0, maximum=1e6, step=1e-9, log=True, hot=True)  # fmt: skip
    eps2: float = param(1.0, "ε2, condition", "Weight of the class or unit.", "Walk",
                        minimum=0, maximum=1e6, step=1e-9, log=True, hot=True)  # fmt: skip
    eps3: float = param(1e-17, "ε3, noise", "Deviation of the noise.", "Walk",
                        minimum=0, maximum=1e6, step=1e-17, log=True, hot=True)  # fmt: skip
    eps4: float = param(0.0, "ε4, known part", "Weight of what is known of the picture.", "Walk",
                        minimum=0, maximum=1e6, step=1e-9, log=True, hot=True)  # fmt: skip
    keep: float = param(1.0, "Shrink", "Multiplies the code behind each step.", "Walk", minimum=0.5, maximum=1,
                        hot=True)  # fmt: skip
    box: str = param("units", "Box", "Codes stay in the range of each unit, between low and high, or are free.", "Walk",
                     choices=("units", "range", "off"), hot=True)  # fmt: skip
    low: float = param(0.0, "Low", "Of the box, if it is one range for all.", "Walk", minimum=-1e6, maximum=1e6,
                       step=0.5, hot=True)  # fmt: skip
    high: float = param(30.0, "High", "Of the box, if it is one range for all.", "Walk", minimum=-1e6, maximum=1e6,
                        step=0.5, hot=True)  # fmt: skip
    reset: int = param(0, "Reset every", "Steps after which a chain starts anew, with another ε1; 0 is never.", "Walk",
                       minimum=0, maximum=100_000, step=1, hot=True)  # fmt: skip
    gradient: str = param("paper", "Gradient", "Of the class: the paper's, that of the published code, or the logit's.",
                          "Walk", choices=("paper", "reference", "logit"), hot=True)  # fmt: skip
    prior: str = param("joint", "Prior", "E(G(h)) − h, or a denoiser's R(h) − h.", "Walk",
                       choices=("joint", "denoiser"))  # fmt: skip
    normalize: bool = param(True, "Normalise", "Steps have a set length (the published code), or are d itself.", "Walk")
    start: str = param("codes", "Start", "Drawn like codes of real pictures, or noise of the code's deviation.", "Walk",
                       choices=("codes", "noise"))  # fmt: skip
    spread: float = param(0.5, "Spread of starts", "How far from a picture's code its second and further chains begin: "
                          "0 for all at it, 1 as far as drawn codes are from their mean.", "Walk",
                          minimum=0, maximum=2, step=0.1)  # fmt: skip
    seed: int = param(0, "Seed", "Of start, noise and resets.", "Walk", minimum=0, maximum=2**31 - 1)

    def __post_init__(self) -> None:
        for name, meta in PARAMS.items():
            object.__setattr__(self, name, meta.coerce(getattr(self, name)))
        if self.low >= self.high:
            raise SpecError("The box is empty.", "Use a low below high.")


PARAMS: dict[str, Param] = collect(Walk)
HOT = tuple(name for name, meta in PARAMS.items() if meta.hot)

VARIANTS: dict[str, dict[str, Value]] = {
    "DGN-AM": {"eps1": 0.0, "eps3": 0.0, "keep": 0.99, "gradient": "logit", "rate": 0.2, "rate_end": 0.0,
               "start": "noise"},
    "PPGN-x": {"eps1": 1.0, "eps2": 1e5, "eps3": 17.5 / 255, "prior": "denoiser", "rate": 0.1, "rate_end": 0.01},
    "PPGN-h": {"eps1": 1e-5, "eps3": 1e-5, "prior": "denoiser", "rate": 0.05, "rate_end": 0.05},
    "joint PPGN-h": {"eps1": 1e-5, "eps3": 1e-5, "rate": 0.05, "rate_end": 0.05},
    "noiseless joint PPGN-h": {"eps1": 1e-5, "eps3": 1e-17, "rate": 0.05, "rate_end": 0.05},
}  # fmt: skip
"""Nguyen et al. 2016 and 2017: values by which each differs from the defaults."""

SHORT = {"dgn-am": "DGN-AM", "ppgn-x": "PPGN-x", "ppgn-h": "PPGN-h", "joint": "joint PPGN-h",
         "ppgn": "noiseless joint PPGN-h"}  # fmt: skip
"""What people may write for them."""


FIELDS = {
    "steps": "steps", "rate": "rate", "rate_end": "rate_end", "eps1": "eps1", "eps2": "eps2", "eps3": "eps3",
    "eps4": "eps4", "box": "box", "low": "box_low", "high": "box_high", "reset": "reset", "gradient": "gradient",
    "prior": "prior", "normalize": "normalize", "start": "codes", "spread": "spread",
    "seed": "seed",
}  # fmt: skip
"""What the parameters of a walk are called in the spec of a run (:class:`vizcore.spec.RunSpec`), but for ``keep``."""


def of_run(values: Mapping[str, Value]) -> Walk:
    """The walk of a run whose parameters have these values; what is shrunk is its ``decay``."""
    given = {name: values[field] for name, field in FIELDS.items()}
    low, high = sorted((float(given["low"]), float(given["high"])))  # whichever of them was turned past the other
    given |= {"low": low, "high": max(high, low + 1e-6), "keep": 1 - float(values["decay"])}
    return Walk(**given)  # type: ignore[arg-type]


def run_values(name: str) -> dict[str, Value]:
    """A variant's values under the names of a run; those of a walk's defaults that a run has otherwise, too."""
    full = vars(Walk(**VARIANTS[name]))  # type: ignore[arg-type]
    told = {FIELDS[key]: full[key] for key in ("steps", "rate", *VARIANTS[name]) if key in FIELDS}
    return {**told, "decay": round(1 - full["keep"], 9), "space": "pixels" if name == "PPGN-x" else "codes"}


def leg_ends(turns: Mapping[int, int], first: int, last: int) -> list[int]:
    """The steps from ``first`` to ``last`` at which chains end and start anew.

    Args:
        turns: what ``reset`` is, by the step from which it is; it has one for step 0.
    """
    ends, since, reset = [], 0, turns.get(0, 0)
    for step in range(last + 1):
        reset = turns.get(step, reset)
        if reset and step - since >= reset:
            since = step + 1
            if step >= first:
                ends.append(step)
    return ends


def variant(name: str) -> str:
    """The full name of a variant; raises :class:`SpecError` if there is none."""
    known = {**{key.lower(): key for key in VARIANTS}, **SHORT}
    found = known.get(name.strip().lower())
    if found is None:
        raise SpecError(f"There is no variant {name[:40]!r}.", f"Use {', '.join(SHORT)}.")
    return found


def walk(name: str, values: Mapping[str, object] | None = None) -> Walk:
    """The walk of a variant with some values changed; raises :class:`SpecError`."""
    given = dict(values or {})
    unknown = next((key for key in given if key not in PARAMS), None)
    if unknown is not None:
        raise SpecError(f"There is no parameter {unknown[:40]!r}.", f"Use {', '.join(PARAMS)}.")
    return Walk(**{**VARIANTS[variant(name)], **given})  # type: ignore[arg-type]


def turned(now: Walk, name: str, value: object) -> Walk:
    """``now`` with a hot knob turned; raises :class:`SpecError` for one that is not hot."""
    if name not in HOT:
        raise SpecError(f"{name[:40]!r} cannot change in mid-walk.", f"Use {', '.join(HOT)}.")
    return dataclasses.replace(now, **{name: value})  # type: ignore[arg-type]
