"""What may be asked for: models by name only, layers and filters that the network has."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vizcore.errors import LayerError, ModelError, SpecError
from vizcore.spec import CODE, PRESETS, RunSpec, build, format_channels, parse_channels
from vizcore.zoo.card import OWN, trained

FIRST = next(iter(PRESETS))
_TIMM = re.compile(r"timm:[A-Za-z0-9_.]{1,100}", re.ASCII)
CLASS = ("class", "-class")  # row i is class i, whatever the layer
PER_LAYER = ("channel", "-channel", "neuron", "-neuron")  # row i is filter i of the layer


def check_model(name: str, known: Iterable[str]) -> str:
    """``name`` if a page may ask for it: never a path, never code.

    Raises:
        ModelError: with the nearest name.
    """
    names = list(known)
    if name in names or _TIMM.fullmatch(name) or (name.startswith(OWN) and name in trained()):
        return name
    near = difflib.get_close_matches(name[:100], names, 1, 0.4)
    hint = (
        f"Did you mean {near[0]}?"
        if near
        else "Choose one from the list; own files are opened with vizcore serve --model."
    )
    raise ModelError(f"There is no model {name[:60]!r}.", hint)


def find(layers: Sequence[Mapping[str, Any]], path: str) -> Mapping[str, Any]:
    """The entry of a layer; raises :class:`LayerError` with the nearest paths."""
    for layer in layers:
        if layer["path"] == path:
            return layer
    near = difflib.get_close_matches(path[:200], [layer["path"] for layer in layers], 3, 0.3)
    hint = f"Did you mean {' or '.join(near)}?" if near else "Search the list of layers."
    raise LayerError(f"There is no layer {path[:60]!r}.", hint)


def check(spec: RunSpec, description: Mapping[str, Any]) -> RunSpec:
    """``spec`` if the network has its layer and filters; composed objectives are left to the engine.

    Raises:
        LayerError: no such layer, or a filter beyond its last one.
    """
    if spec.objective in CLASS:
        return spec
    layer = find(description["layers"], spec.layer)
    if spec.objective in PER_LAYER and max(spec.targets) >= layer["channels"]:
        raise LayerError(
            f"{spec.layer} has {layer['channels']} filters, and {max(spec.targets)} is beyond them.",
            f"Choose from 0-{layer['channels'] - 1}.",
        )
    return spec


def showcase(description: Mapping[str, Any]) -> dict[str, Any]:
    """The layer and filters that a network is first shown with."""
    card, layers = description["card"], description["layers"]
    wish = card.get("showcase", {})
    path = wish.get("layer") or layers[len(layers) // 2]["path"]
    count = find(layers, path)["channels"]
    channels = tuple(c for c in wish.get("channels", ()) if c < count) or tuple(range(min(16, count)))
    return {"layer": path, "channels": channels}


def fitting(path: str | None, channels: tuple[int, ...], description: Mapping[str, Any]) -> tuple[int, ...]:
    """Those of ``channels`` that a layer has, else its first ones; raises :class:`LayerError` for no layer."""
    if not path:
        return channels
    count = find(description["layers"], path)["channels"]
    return tuple(c for c in channels if c < count) or tuple(range(min(16, count)))


def changed(spec: RunSpec, changes: Mapping[str, Any], description: Mapping[str, Any]) -> RunSpec:
    """``spec`` after the changes a user made to target, preset and parameters.

    Another model brings its showcase and size, another layer keeps the filters that it has.

    Raises:
        SpecError, LayerError: what was typed cannot be.
    """
    now = dict(changes)
    values: dict[str, Any] = {"model": spec.model, "layer": spec.layer, "channels": spec.channels, "arch": spec.arch}
    preset, objective = now.pop("preset", None), now.pop("objective", spec.objective)
    if now.get("model", spec.model) != spec.model:
        values |= {"model": now["model"], "arch": None, **showcase(description)}
        now.setdefault("size", description["default_size"])
    now.pop("model", None)
    values["arch"] = now.pop("arch", values["arch"])
    if "layer" in now:
        path = now.pop("layer")
        values |= {"layer": path, "channels": fitting(path, values["channels"], description)}
    if "filters" in now:
        values["channels"] = parse_channels(now.pop("filters"))
    elif objective != spec.objective and objective in CLASS:
        count = len(description["card"]["classes"])
        kept = tuple(c for c in values["channels"] if c < count)
        values["channels"] = kept or tuple(range(min(16, count))) or values["channels"]
    codes = now.get("parameterization", spec.parameterization) == "generator"
    if preset is None and codes != (spec.parameterization == "generator"):
        preset = CODE if codes else FIRST  # what moves a picture well moves no code, and the other way round
    if preset is not None:
        fresh = build(**values, preset=preset, objective=objective, size=spec.size, seed=spec.seed)
        return check(fresh.replace(**now), description)
    return check(spec.replace(**values, objective=objective, **now), description)


def dice(spec: RunSpec, description: Mapping[str, Any], draw: random.Random | None = None) -> str:
    """As many filters of the layer, at random, as the list that a user would type.

    Raises:
        SpecError: the objective has no filters to choose from.
    """
    if spec.objective in CLASS:
        count = len(description["card"]["classes"])
    elif spec.objective == "direction":
        count = 10_000
    else:
        count = find(description["layers"], spec.layer)["channels"]
    if count < 1:
        raise SpecError("There are no filters to choose from.", "Choose another layer.")
    chosen = (draw or random.Random()).sample(range(count), min(len(spec.channels), count))
    return format_channels(sorted(chosen))


def neighbour(spec: RunSpec, description: Mapping[str, Any], by: int) -> str:
    """The path of the layer ``by`` places after the present one, the first and last being the ends."""
    paths = [layer["path"] for layer in description["layers"]]
    index = paths.index(spec.layer) if spec.layer in paths else 0
    return str(paths[min(max(index + by, 0), len(paths) - 1)])
