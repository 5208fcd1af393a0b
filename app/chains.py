"""What the page Generators is told of a run: its form, how it goes, its curves, and where chains ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app import publish
from app.curves import decimate
from vizcore.generate.spec import VARIANTS, leg_ends
from vizcore.history import RunReader
from vizcore.params import Param
from vizcore.spec import PARAMS, PRESET_HELP, PRESETS, Knobs, to_dict

POINTS = 160  # of a curve: more are not told apart
ENDS = 200  # legs that are told of, the newest


def form(knobs: Sequence[str], cold: Sequence[str]) -> dict[str, Any]:
    """What the script makes controls of; ``variants`` are the values that each method begins with."""
    names = ("steps", *knobs, *cold)
    usual = {name: PARAMS[name].default for name in names}
    variants = {
        name: {key: value for key, value in {**usual, **PRESETS[name]}.items() if key in names} for name in VARIANTS
    }
    return {
        "knobs": [field(PARAMS[name]) for name in ("steps", *knobs)], "cold": [field(PARAMS[name]) for name in cold],
        "variants": variants, "help": {name: PRESET_HELP[name] for name in VARIANTS},
        "chains": field(PARAMS["chains"]),
    }  # fmt: skip


def field(meta: Param) -> dict[str, Any]:
    """One control."""
    return {
        "name": meta.name, "label": meta.label, "unit": meta.unit, "help": meta.help, "kind": meta.kind,
        "min": meta.minimum, "max": meta.maximum, "step": meta.step, "log": meta.log, "hot": meta.hot,
        "choices": list(meta.choices), "default": meta.default,
    }  # fmt: skip


def told(run: str, reader: RunReader, live: Any) -> dict[str, Any]:
    """How a run goes, from the engine if it has it, else from its file."""
    spec, kept = reader.spec, publish.kept(run, reader)
    now = Knobs(spec, reader.knobs()).at(2**62)
    return {
        "id": run, "spec": to_dict(spec), "targets": list(spec.targets), "revision": kept["revision"],
        "kept": kept["steps"], "knobs": kept["knobs"], "now": now, "latest": reader.latest(),
        "steps": int(live.steps) if live is not None else int(now["steps"]),
        "state": live.state if live is not None else _stored(reader.state),
        "rate": round(live.rate, 1) if live is not None else 0.0, "root": reader.root,
        "statuses": list(live.statuses if live is not None and live.statuses else reader.statuses()),
        "error": live.error if live is not None else None, "note": live.note if live is not None else "",
    }  # fmt: skip


def _stored(state: str) -> str:
    return "interrupted" if state in ("running", "loading") else state  # its engine is gone


def curves(reader: RunReader, done: bool) -> dict[str, Any]:
    """Steps and scores of all chains, at most :data:`POINTS` each, and the scores at the ends of their legs.

    Args:
        done: whether the newest step is such an end too.
    """
    steps, scores, _ = reader.scores()
    if not len(steps):
        return {"steps": [], "scores": [], "ends": []}
    index = decimate(len(steps), POINTS)
    turns = {0: int(reader.spec.reset)}
    turns |= {int(step): int(value) for step, name, value in reader.knobs() if name == "reset"}
    last = int(steps[-1])
    ends = leg_ends(turns, 0, last)
    if done and last not in ends:
        ends.append(last)
    at = np.searchsorted(steps, ends[-ENDS:])
    return {
        "steps": steps[index].tolist(), "scores": _rounded(scores[index].T),
        "ends": [[int(steps[row]), *_rounded(scores[row])] for row in at if row < len(steps)],
    }  # fmt: skip


def _rounded(values: np.ndarray) -> Any:
    return np.round(values.astype(np.float64), 5).tolist()
