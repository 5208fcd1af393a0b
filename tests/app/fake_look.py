"""What the engine says of pictures, without a network: real reading of files, made-up maps."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from PIL import Image

from vizcore.engine.jobs import Job
from vizcore.errors import LayerError
from vizcore.look.display import panes, relevance
from vizcore.look.pictures import fit, read

METHODS = (("deconv", "Deconvnet"), ("guided", "Guided backpropagation"), ("lrp", "Layer-wise relevance propagation"))
SIDE = 24  # px of a map


def maps(data: bytes, count: int) -> np.ndarray:
    """Shifts of the picture's brightness, signed, growing with the channel; float32 [count, SIDE, SIDE]."""
    grey = fit(read(data), SIDE, 1)[..., 0].astype(np.float32) / 255
    return np.stack([np.roll(grey - 0.3, i % SIDE, i % 2) * (1 + i / 8) for i in range(count)]).astype(np.float32)


def packed(values: np.ndarray) -> dict[str, Any]:
    """As the engine sends maps."""
    scale = float(np.abs(values).max()) or 1.0
    return {
        "values": (values / scale).astype("<f2").tobytes(), "shape": list(values.shape), "scale": scale,
        "size": list(values.shape[1:]), "pool": 1,
    }  # fmt: skip


class FakeLooking:
    """The part of the engine that looks at pictures."""

    _answer: Callable[..., Future[Any]]
    describe: Callable[..., Future[Any]]

    def methods(self, model: str, arch: str | None = None) -> Future[Any]:
        rows = [
            {"name": name, "label": label, "help": f"What {label} does.", "paper": "Somebody 2014",
             "why": "This network adds outside of modules." if name == "lrp" else ""}
            for name, label in METHODS
        ]  # fmt: skip
        return self._answer("methods", lambda: rows, model)

    def maps(self, data: bytes, model: str, layer: str, arch: str | None = None) -> Future[Any]:
        def act() -> dict[str, Any]:
            description = self.describe(model).result()
            found = [entry for entry in description["layers"] if entry["path"] == layer]
            if not found:
                raise LayerError(f"There is no layer {layer!r}.", "Choose another.")
            values = maps(data, found[0]["channels"])
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
        share: float = 0.2,
    ) -> Future[Any]:  # fmt: skip
        def act() -> dict[str, Any]:
            picture = fit(read(data), 64)
            values = (picture.astype(np.float32).transpose(2, 0, 1) / 255 - 0.5) * (1 + channel)
            original, heat, focus = panes(picture, values, share)
            shown = {"original": original, "heat": heat, "focus": focus, "relevance": relevance(values)}
            return {
                "panes": {name: _png(one) for name, one in shown.items()}, "score": 1.5 + channel, "seconds": 0.01,
                "intercepted": 3, "note": "", "facts": {},
            }  # fmt: skip

        job: Job[Any] = Job()
        answer = self._answer("project", act, model, layer, channel, method)
        error = answer.exception()
        job.set_exception(error) if error else job.set_result(answer.result())
        return job


def _png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()
