"""What the page is told besides pictures: JSON texts, each replaced only when it changed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.model import DataModel

from vizcore.history import RunReader, kept_ranges
from vizcore.params import Value
from vizcore.spec import PARAMS, RunSpec, to_dict

_FACTS = ("source", "data", "recipe", "accuracy", "licence", "command")


def text(value: Any) -> str:
    """JSON that a browser reads: no NaN, no Infinity."""
    return "" if value is None else json.dumps(_finite(value), separators=(",", ":"), default=_plain)


def put(state: DataModel, name: str, value: Any) -> bool:
    """Replace one property if its text changed; True if it did."""
    new = value if isinstance(value, str) else text(value)
    if getattr(state, name) == new:
        return False
    setattr(state, name, new)
    return True


def run(
    ident: str | None, spec: RunSpec, description: Mapping[str, Any] | None, parent: Any = None, root: int = 0
) -> dict[str, Any]:
    """The ``run`` property: what is being looked at; ``root`` is its first own step, before it are its parent's."""
    card = (description or {}).get("card", {})
    layers = (description or {}).get("layers", [])
    layer = next((entry for entry in layers if entry["path"] == spec.layer), {})
    return {
        "id": ident or "",
        "model": spec.model,
        "title": card.get("title") or spec.model,
        "layer": spec.layer,
        "kind": layer.get("kind", ""),
        "channels": list(spec.channels),
        "count": layer.get("channels", 0),
        "classes": list(card.get("classes", ())),
        "size": spec.size,
        "native": card.get("size", spec.size),
        "grey": card.get("channels", 3) == 1,
        "objective": spec.objective,
        "preset": spec.preset,
        "seed": spec.seed,
        "spec": to_dict(spec),
        "parent": list(parent) if parent else None,
        "root": root,
        "layers": [entry["path"] for entry in layers],
        "facts": {key: fact for key, fact in card.items() if key in _FACTS},
    }


def status(ident: str | None, reader: RunReader | None, live: Any, busy: str, steps: int) -> dict[str, Any]:
    """The ``status`` property: from the engine if it has the run, else from the run file."""
    state = {
        "run": ident or "", "state": "none", "step": 0, "steps": steps, "rate": 0.0, "eta": None, "memory": None,
        "device": "", "precision": "", "note": busy, "seconds": 0.0, "statuses": [], "error": None,
    }  # fmt: skip
    if busy and ident is None:
        state["state"] = "loading"
    if reader is not None:
        state["statuses"] = list(reader.statuses())
        state["state"], state["step"] = str(reader.state), int(reader.latest() or 0)
        if live is None and state["state"] in ("running", "loading"):
            state["state"] = "interrupted"  # its engine is gone
    if live is not None:
        for name in ("state", "step", "steps", "rate", "eta", "memory", "device", "precision", "seconds", "error"):
            state[name] = getattr(live, name)
        state["note"] = busy or live.note or ""
    return state


def kept(ident: str, reader: RunReader) -> dict[str, Any]:
    """The ``kept`` property: which steps have pictures, and where a knob was turned."""
    revision, steps = reader.revision, reader.steps()  # in this order: the steps are of this revision or a later one
    values, knobs = reader.spec.hot(), []
    for step, name, value in reader.knobs():
        knobs.append([int(step), name, value, knob_text(name, value, values.get(name, value))])
        values[name] = value
    return {"run": ident, "steps": kept_ranges(steps), "knobs": knobs, "total": len(steps), "revision": revision}


def ranges(steps: Any) -> list[list[int]]:
    """Steps as [first, last, stride]."""
    return kept_ranges(steps)


def knob_text(name: str, value: Value, before: Value) -> str:
    """``"Rate 0.05 → 0.08"``."""
    meta = PARAMS.get(name)
    old, new = (f"{one:g}" if isinstance(one, float) else str(one) for one in (before, value))
    change = new if old == new else f"{old} → {new}"
    return f"{meta.label if meta else name} {change}{' ' + meta.unit if meta and meta.unit else ''}"


def size(count: int) -> str:
    """``"38 MB"``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6)) if count else 0} MB"


def value_text(name: str, value: Value) -> str:
    """``"Blur 0.5 px"``."""
    meta = PARAMS.get(name)
    told = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{meta.label if meta else name} {told}{' ' + meta.unit if meta and meta.unit else ''}"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return str(value)
