"""The address of a page: run, target, preset and the values that differ from it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from vizcore import lineage
from vizcore.errors import SpecError
from vizcore.export import Recipe
from vizcore.history import RunReader
from vizcore.params import Value
from vizcore.spec import NAMED, PARAMS, PRESETS, Knobs, RunSpec, build, format_channels, to_dict

_TARGET = ("model", "arch", "layer", "filters", "objective", "preset", *NAMED)
_LIMIT = 4096  # longer values are nobody's address
_TURNS = 300  # of knobs: more of them would not fit
_UNPACKED = 2**20  # bytes


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
        past: how the run became what it is, as :func:`pack` wrote it.
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
    past: str = ""
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
            if values or isinstance(values, str)  # an empty layer says that the whole network is meant
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
        past=known.get("past", ""),
        odd=tuple(
            f"{name}={known[name][:40]}"
            for name in ("step", "filter")
            if name in known and _number(known[name]) is None
        ),
    )


def pack(reader: RunReader) -> str:
    """How a run became what it is, where its spec alone does not say it: turns of knobs, and what it was forked from.

    Empty if there is nothing of that, it is not known, or it is too long for an address.
    """
    above, knobs = lineage.of(reader), reader.knobs()
    if not (above or knobs) or above is None or len(knobs) > _TURNS:
        return ""
    data = {
        "above": [[encode(one.spec), one.knobs, one.step] for one in above], "spec": encode(reader.spec),
        "knobs": knobs, "weights": str(reader.meta.get("weights_hash", "")),
    }  # fmt: skip
    packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 9))
    text = packed.decode("ascii").rstrip("=")
    return text if len(text) <= _LIMIT else ""


def unpack(text: str) -> Recipe:
    """The recipe of the run in a text of :func:`pack`, as far as it was told.

    Raises:
        SpecError: it is none, or a value in it is out of range.
    """
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        data = json.loads(zlib.decompressobj().decompress(packed, _UNPACKED))
        spec = decode(data["spec"]).spec()
        knobs = tuple(Knobs(spec, [(int(at), str(name), value) for at, name, value in data["knobs"]]).log)
        line = [
            {"spec": to_dict(decode(query).spec()), "knobs": turns, "step": step}
            for query, turns, step in data["above"]
        ]
        above = lineage.read(line, spec)
        step = max([above[-1].step if above else 0, *(turn[0] for turn in knobs)])
        return Recipe(spec, step, knobs, weights_hash=str(data["weights"]), above=above)
    except (ValueError, TypeError, KeyError, AttributeError, zlib.error, RecursionError) as error:
        raise SpecError("The address does not say how its run became what it is.", "Use the link as it was.") from error


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
