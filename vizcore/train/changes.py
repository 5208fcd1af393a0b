"""Which changes of a batch there are, and how much of each.  No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from vizcore.errors import SpecError


@dataclass(frozen=True)
class Augmentation:
    """How much of what; 0 is nothing of it.

    Args:
        flip: half of the pictures are mirrored (0 or 1).
        zoom: the share by which sides grow or shrink at most.
        rotate: degrees at most, to either side.
        crop: px by which pictures are moved at most; the edge is reflected.
        shift: px likewise, but what comes in is the edge's own colour (for digits and drawings).
        light: the share by which brightness and contrast change at most.
        cutout: px a side of a square that becomes mean grey (DeVries and Taylor 2017).
    """

    flip: float = 0
    zoom: float = 0
    rotate: float = 0
    crop: float = 0
    shift: float = 0
    light: float = 0
    cutout: float = 0


_MOST = {"flip": 1, "zoom": 0.5, "rotate": 180, "crop": 64, "shift": 64, "light": 0.9, "cutout": 256}
_WHOLE = ("flip", "crop", "shift", "cutout")
_USUAL = {"flip": 1, "zoom": 0.1, "rotate": 10, "crop": 4, "shift": 2, "light": 0.2, "cutout": 8}
NAMES = tuple(field.name for field in fields(Augmentation))


def parse(text: str) -> Augmentation:
    """The augmentation of a list such as ``flip,crop:4``; without a number each name means a usual amount.

    Raises:
        SpecError: a name that is none, or an amount out of range.
    """
    values: dict[str, float] = {}
    for item in text.split(","):
        name, colon, amount = item.strip().partition(":")
        if not name and not colon:
            continue
        if name not in NAMES:
            raise SpecError(f"There is no augmentation {name[:40]!r}.", f"Use {', '.join(NAMES)}.")
        try:
            value = float(amount) if colon else _USUAL[name]
        except ValueError:
            value = math.nan
        if not 0 <= value <= _MOST[name] or (name in _WHOLE and value != int(value)):
            kind = "a whole number " if name in _WHOLE else ""
            raise SpecError(
                f"The augmentation {name} cannot be {amount[:20]!r}.", f"Use {kind}from 0 to {_MOST[name]:g}."
            )
        values[name] = value
    return Augmentation(**values)
