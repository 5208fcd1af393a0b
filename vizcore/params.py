"""Parameters that know themselves: label, unit, range, hot or cold.

Widgets, command line flags, validation messages and the reference page are made from this metadata,
so a range is written once.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, cast

from vizcore.errors import SpecError

Value = float | int | str | bool


@dataclass(frozen=True)
class Param:
    """The metadata of one parameter.

    Args:
        kind: ``"float"``, ``"int"``, ``"bool"`` or ``"choice"``.
        minimum, maximum: inclusive bounds of a number.
        step: the smallest useful change, for sliders.
        log: the slider moves on a logarithmic scale (0, if allowed, sits at its left end).
        hot: the parameter may change in mid-run and acts before the next step.
        unit: printed behind the value.
        group: ``"look"`` (shown first), ``"transforms"``, ``"penalties"`` or ``"image"`` (under Advanced).
        choices: what a choice may be.
        codes: it acts where a generator's code is ascended, too: whose pictures have one size and steps of their own.
        help: one sentence, shown as a tooltip.
    """

    name: str
    label: str
    default: Value
    kind: str
    help: str
    group: str
    minimum: float = -math.inf
    maximum: float = math.inf
    step: float = 0.0
    log: bool = False
    hot: bool = False
    unit: str = ""
    choices: tuple[str, ...] = ()
    codes: bool = True

    def coerce(self, value: object) -> Value:
        """``value`` as this parameter's type; raises :class:`SpecError` if it is none or out of range."""
        if self.kind == "bool":
            if isinstance(value, str) and value.lower() in ("true", "false", "1", "0", "yes", "no", "on", "off"):
                return value.lower() in ("true", "1", "yes", "on")
            if isinstance(value, bool) or value in (0, 1):
                return bool(value)
            raise SpecError(f"{self.label} is {_short(value)}, not yes or no.", f"Use {self.name}=true or false.")
        if self.kind == "choice":
            if isinstance(value, str) and value in self.choices:
                return value
            raise SpecError(f"{self.label} cannot be {_short(value)}.", f"Use one of {', '.join(self.choices)}.")
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise SpecError(f"{self.label} is {_short(value)}, not a number.", self._range())
        try:
            number = float(value)
        except ValueError:
            raise SpecError(f"{self.label} is {_short(value)}, not a number.", self._range()) from None
        if not math.isfinite(number) or not self.minimum <= number <= self.maximum:
            raise SpecError(f"{self.label} is {_short(value)}, out of range.", self._range())
        if self.kind == "int":
            if number != int(number):
                raise SpecError(f"{self.label} is {_short(value)}, not a whole number.", self._range())
            return int(number)
        return number

    def clamp(self, value: object) -> Value:
        """``value`` brought into range; what is no value at all becomes the default (for input from a page)."""
        try:
            return self.coerce(value)
        except SpecError:
            if isinstance(value, (int, float)) and not isinstance(value, bool) and self.kind in ("int", "float"):
                if math.isnan(value):
                    return self.default
                bounded = min(max(float(value), self.minimum), self.maximum)
                return self.coerce(round(bounded) if self.kind == "int" else bounded)
            return self.default

    def _range(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"Use a value of {self.name} from {self.minimum:g} to {self.maximum:g}{unit}."


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def param(default: Any, label: str, help: str, group: str, **extra: Any) -> Any:
    """A dataclass field that carries a :class:`Param`; its kind follows from the default unless choices are given."""
    kind = "choice" if "choices" in extra else {bool: "bool", int: "int", float: "float"}[type(default)]
    meta = {"label": label, "help": help, "group": group, "kind": kind, **extra}
    return dataclasses.field(default=default, metadata={"param": meta})


def collect(cls: type) -> dict[str, Param]:
    """The parameters of a dataclass whose fields were made with :func:`param`, in their order."""
    return {
        f.name: Param(name=f.name, default=cast(Value, f.default), **f.metadata["param"])
        for f in dataclasses.fields(cls)
        if "param" in f.metadata
    }
