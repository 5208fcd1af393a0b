"""What the engine says of pictures, without a network: real reading of files, made-up maps."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from PIL import Image

from vizcore import assets
from vizcore.engine.jobs import Job
from vizcore.errors import LayerError
from vizcore.look.display import panes, relevance
from vizcore.look.pictures import fit, read

METHODS = (
    ("deconv", "Deconvnet"), ("guided", "Guided backpropagation"), ("saliency", "Gradient (saliency)"),
    ("input-gradient", "Gradient × input"), ("smoothgrad", "SmoothGrad"), ("ig", "Integrated gradients"),
    ("gradcam", "Grad-CAM"), ("guided-gradcam", "Guided Grad-CAM"), ("occlusion", "Occlusion"),
    ("lrp", "Layer-wise relevance propagation"),
)  # fmt: skip
SIDE = 24  # px of a map


def maps(data: bytes, count: int) -> np.ndarray:
    """Shifts of the picture's brightness, signed, growing with the channel; float32 [count, SIDE, SIDE]."""
    grey = fit(read(data), SIDE, 1)[..., 0].astype(np.float32) / 255
    return np.stack([np.roll(grey - 0.3, i % SIDE, i % 2) * (1 + i / 8) for i in range(count)]).astype(np.float32)


def packed(values: np.ndarray) -> dict[str, Any]:
    """As the engine sends maps."""
    return {**_halves(values), "size": list(values.shape[1:]), "pool": 1}


def _halves(values: np.ndarray) -> dict[str, Any]:
    scale = float(np.abs(values).max()) or 1.0
    return {"values": (values / scale).astype("<f2").tobytes(), "shape": list(values.shape), "scale": scale}


class FakeLooking:
    """The part of the engine that looks at pictures."""

    _answer: Callable[..., Future[Any]]
    _job: Callable[..., Job[Any]]
    describe: Callable[..., Future[Any]]

    def methods(self, model: str, arch: str | None = None) -> Future[Any]:
        rows = [
            {"name": name, "label": label, "help": f"What {label} does.", "paper": "Somebody 2014",
             "why": "This network adds outside of modules." if name == "lrp" else ""}
            for name, label in METHODS
        ]  # fmt: skip
        return self._answer("methods", lambda: rows, model)

    def keep(self, data: bytes) -> Future[Any]:
        def act() -> dict[str, Any]:
            found = read(data)
            return {"name": assets.keep_picture(found), "height": found.shape[0], "width": found.shape[1]}

        return self._answer("keep", act)

    def maps(self, data: bytes, model: str, layer: str, arch: str | None = None) -> Future[Any]:
        def act() -> dict[str, Any]:
            description = self.describe(model).result()
            found = [entry for entry in description["layers"] if entry["path"] == layer]
            if not found:
                raise LayerError(f"There is no layer {layer!r}.", "Choose another.")
            values = maps(data, found[0]["channels"])
            values = values[:, :1, :1] if found[0]["height"] == 1 else values  # a layer of numbers
            names = description["card"]["classes"]
            shares = np.exp(-np.arange(5.0))
            classes = [[names[i], float(shares[i] / shares.sum())] for i in range(5)]
            return {**packed(values), "peaks": values.max((1, 2)).tolist(), "classes": classes, "seconds": 0.004}

        return self._answer("maps", act, model, layer)

    def strip(self, data: bytes, model: str, arch: str | None = None) -> Future[Any]:
        def act() -> list[dict[str, Any]]:
            layers = self.describe(model).result()["layers"]
            values = np.abs(maps(data, len(layers)))
            return [
                {**packed(one[None]), "layer": layer["path"], "kind": "conv", "channel": 1, "peak": float(one.max())}
                for one, layer in zip(values, layers, strict=True)
            ]

        return self._answer("strip", act, model)

    def project(
        self, data: bytes, model: str, layer: str, channel: int, method: str, arch: str | None = None,
        share: float = 0.2, place: tuple[int, int] | None = None,
    ) -> Job[Any]:  # fmt: skip
        def act() -> dict[str, Any]:
            return explained(data, channel, share, 1.5 + channel + (place[0] / 100 if place else 0))

        return self._at_once("project", act, model, layer, channel, method, place)

    def check(
        self, data: bytes, model: str, layer: str, channel: int, method: str, arch: str | None = None,
        place: tuple[int, int] | None = None,
    ) -> Job[Any]:  # fmt: skip
        """Four points; a seventh of a second each unless steps are made by hand."""

        def act() -> dict[str, Any]:
            read(data)
            likeness = (("", 1.0), ("fc", 0.6), ("block3", 0.3), ("stem", 0.05))
            points = [{"layer": at, "absolute": now, "signed": now / 2, "failed": ""} for at, now in likeness]
            points[2] |= {"absolute": 0.0, "signed": 0.0, "failed": "The unit is off."}
            return {"points": points, "warning": "Read it with care." if method == "guided" else "", "seconds": 0.2}

        return self._job("check", act, model, layer, channel, method, place, steps=8)

    def column(
        self, data: bytes, model: str, method: str, depth: str, arch: str | None = None, share: float = 0.2
    ) -> Job[Any]:
        def act() -> dict[str, Any]:
            description = self.describe(model).result()
            layers, names = description["layers"], description["card"]["classes"]
            layer = {"first": layers[0], "middle": layers[len(layers) // 2], "last": layers[-1]}.get(depth)
            classes = [[names[i], 0.5 / (i + 1)] for i in range(5)] if layer is None else []
            told = {"layer": layer["path"] if layer else "", "channel": 3, "unit": "" if layer else names[3],
                    "classes": classes, "channels": 0, "reason": ""}  # fmt: skip
            if method == "lrp":
                return {**told, "reason": "This network adds outside of modules."}
            if method == "activations":
                order = list(range(16))[::-1]
                return {**told, **packed(maps(data, 16)[order]), "order": order, "channels": 64}
            return {**told, **explained(data, 3, share, 4.5)}

        return self._at_once("column", act, model, method, depth)

    def kernels(self, model: str, layer: str, arch: str | None = None, first: int = 0, skip: int = 0) -> Future[Any]:
        def act() -> dict[str, Any]:
            values = kernels(self.describe(model).result(), layer)
            pictures = values.shape[2] == 7
            first_, skip_ = min(first, len(values) - 1), 0 if pictures else min(skip, values.shape[1] - 1)
            block = values[first_ : first_ + 64, skip_ : skip_ + 64]
            return {
                **_halves(block), "layer": layer or "stem", "pictures": pictures, "whole": list(values.shape),
                "first": first_, "skip": skip_, "top": float(np.abs(values).max()), "pairs": 1,
                "norms": np.linalg.norm(block.reshape(len(block), -1), axis=1).tolist(), "alike": [[2, 3, -0.97]],
                "block": [64, min(64, values.shape[1])],
            }  # fmt: skip

        return self._answer("kernels", act, model, layer, first, skip)

    def inspect(self, model: str, arch: str | None = None) -> Job[Any]:
        """Findings of four kinds in the first and last layers; the last is of a layer as a whole."""

        def act() -> dict[str, Any]:
            layers = self.describe(model).result()["layers"]
            first, last = layers[0], layers[-1]
            many = list(range(first["channels"]))
            findings = [
                {"kind": "dead filters", "layer": last["path"], "text": "2 of 10 filters are off.", "filters": [1, 4],
                 "values": [], "pairs": []},
                {"kind": "near-duplicates", "layer": first["path"], "text": "1 pairs of filters.", "filters": [2, 3],
                 "values": [-0.97], "pairs": [[2, 3]]},
                {"kind": "aliasing", "layer": first["path"], "text": "All filters.", "filters": many,
                 "values": [0.3] * len(many), "pairs": []},
                {"kind": "receptive field", "layer": last["path"], "text": "Sees 9 of 64 px.", "filters": [],
                 "values": [], "pairs": []},
            ]  # fmt: skip
            kinds = ["dead filters", "near-duplicates", "aliasing", "spectral coverage", "receptive field"]
            return {"kinds": kinds, "findings": findings, "channels": {one["path"]: one["channels"] for one in layers},
                    "layers": 4, "filters": 1234, "pictures": 64, "seconds": 0.1}  # fmt: skip

        return self._at_once("inspect", act, model)

    def carry(self, model: str, layer: str, channel: int, arch: str | None = None, data: bytes = b"") -> Job[Any]:
        def act() -> dict[str, Any]:
            if not layer or (layer == "block3" and not data):
                raise LayerError("This projection depends on the picture.", "Give a picture.")
            values = carried(channel, data)
            return {**_halves(values[None]), "channel": channel, "top": float(np.abs(values).max()), "seconds": 0.01}

        return self._at_once("carry", act, model, layer, channel, len(data))

    def _at_once(self, name: str, act: Callable[[], Any], *record: Any) -> Job[Any]:
        job: Job[Any] = Job()
        answer = self._answer(name, act, *record)
        error = answer.exception()
        job.set_exception(error) if error else job.set_result(answer.result())
        return job


def kernels(description: dict[str, Any], layer: str) -> np.ndarray:
    """Weights [filters, inputs, h, w] of a layer: pictures for the first, else kernels of 3 by 3 or rows of 1 by 1."""
    found = next((one for one in description["layers"] if one["path"] == layer), description["layers"][0])
    if found["path"] == "block1":
        raise LayerError("The layer block1 has no kernels.", "Choose a convolution or a linear layer.")
    colours, side = (description["card"]["channels"], 7) if found is description["layers"][0] else (96, 3)
    side = 1 if found["path"] == "fc" else side
    return np.random.default_rng(7).normal(0, 0.1, (found["channels"], colours, side, side)).astype(np.float32)


def carried(channel: int, data: bytes) -> np.ndarray:
    """A projection [3, SIDE, SIDE]: signed waves, or the picture less its mean."""
    if data:
        return fit(read(data), SIDE).astype(np.float32).transpose(2, 0, 1) / 255 - 0.5
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    return np.stack([np.sin(9 * x + channel), np.cos(7 * y), np.sin(5 * (x + y))]).astype(np.float32) * (1 + channel)


def explained(data: bytes, channel: int, share: float, score: float) -> dict[str, Any]:
    """As the engine sends a backward view: the picture itself is the relevance."""
    picture = fit(read(data), 64)
    values = (picture.astype(np.float32).transpose(2, 0, 1) / 255 - 0.5) * (1 + channel)
    original, heat, focus = panes(picture, values, share)
    shown = {"original": original, "heat": heat, "focus": focus, "relevance": relevance(values)}
    return {
        "panes": {name: _png(one) for name, one in shown.items()}, "score": score, "seconds": 0.01,
        "intercepted": 3, "note": "", "facts": {},
    }  # fmt: skip


def _png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()
