"""The address of a page: run, target, preset and the values that differ from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from vizcore.errors import SpecError
from vizcore.params import Value
from vizcore.spec import NAMED, PARAMS, PRESETS, RunSpec, build, format_channels

_TARGET = ("model", "arch", "layer", "filters", "objective", "preset", *NAMED)
_LIMIT = 4096  # longer values are nobody's address


@dataclass(frozen=True)
class Place:
    """A picture: a filter of a run at a step; a part that is not given is the first, or the newest."""

    run: str
    filter: int | None = None
    step: int | None = None


@dataclass(frozen=True)
class Address:
    """What an address asks for; every part may be missing.

    Args:
        step, filter: what is looked at, in the run.
        against: picture B.
        odd: parts that mean nothing.
    """

    run: str | None = None
    target: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    autostart: bool = True
    step: int | None = None
    filter: int | None = None
    against: Place | None = None
    odd: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing is asked for: show the default."""
        return self.run is None and not self.target and not self.values

    def spec(self, **defaults: Any) -> RunSpec:
        """The spec that the address describes, missing parts from ``defaults`` (model, layer, channels, size ...).

        Raises:
            SpecError: a value out of range, a malformed channel list, no model, layer or filters.
        """
        named = {"model": "", "layer": None, "channels": None, **defaults, **self.target}
        channels = named.pop("filters", named["channels"])
        model, layer = named.pop("model"), named.pop("layer")
        named.pop("channels")
        if not model or layer is None or not channels:
            raise SpecError("The address names no model, layer or filters.", "Choose them on the page.")
        preset = named.pop("preset", "Crisp")
        return build(model, layer, channels, preset, **{**named, **self.values})


def encode(spec: RunSpec, run: str | None = None) -> str:
    """The query string of a run; :func:`decode` and :meth:`Address.spec` give the spec back."""
    parts: dict[str, str] = {"run": run} if run else {}
    parts["model"] = spec.model
    if spec.arch is not None:
        parts["arch"] = spec.arch
    parts |= {"layer": spec.layer, "filters": format_channels(spec.channels).replace(" ", "")}
    if spec.objective != "channel":
        parts["objective"] = spec.objective
    parts["preset"] = spec.preset
    parts |= {name: getattr(spec, name) for name in NAMED if getattr(spec, name)}
    preset = PRESETS.get(spec.preset, {})
    for name, meta in PARAMS.items():
        value = getattr(spec, name)
        # The size is always said: what is left out is the device's best, not the preset's.
        if name == "size" or value != meta.coerce(preset.get(name, meta.default)):
            parts[name] = _text(value)
    return urlencode(parts, safe=",:/")


def pairs(query: str | Mapping[str, Sequence[bytes] | str]) -> dict[str, str]:
    """Names and values of a query string or of Bokeh's ``request.arguments``; the last of a name counts."""
    if isinstance(query, str):
        found = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=200))
    else:
        found = {
            name: values if isinstance(values, str) else values[-1].decode("utf-8", "replace")
            for name, values in query.items()
            if values
        }
    return {name: value for name, value in found.items() if len(value) <= _LIMIT}


def decode(query: str | Mapping[str, Sequence[bytes] | str]) -> Address:
    """The parts of an address as :func:`pairs` takes it; unknown ones are ignored."""
    known = pairs(query)
    return Address(
        run=known.get("run") or None,
        target={name: known[name] for name in _TARGET if known.get(name) or (name == "layer" and name in known)},
        values={name: known[name] for name in PARAMS if name in known},
        autostart=known.get("autostart", "1").lower() not in ("0", "false", "no"),
        step=_number(known.get("step", "")),
        filter=_number(known.get("filter", "")),
        against=_place(known.get("b", "")),
        odd=tuple(
            f"{name}={known[name][:40]}"
            for name in ("step", "filter")
            if name in known and _number(known[name]) is None
        ),
    )


def _place(text: str) -> Place | None:
    """``RUN,FILTER,STEP``."""
    run, _, rest = text.partition(",")
    filter_, _, step = rest.partition(",")
    return Place(run, _number(filter_), _number(step)) if run else None


def _number(text: str) -> int | None:
    return int(text) if len(text) < 10 and text.isascii() and text.isdecimal() else None


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
