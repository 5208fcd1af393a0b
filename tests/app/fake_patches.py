"""What the engine says of folders of pictures, without a network: real reading of files, made-up activations."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vizcore.engine import Place
from vizcore.engine.jobs import Job
from vizcore.errors import LayerError, PictureError
from vizcore.look.collections import Collection, collect
from vizcore.look.pictures import fit

TOP = 9
MANY, LONG = 20, 15  # a pass over more pictures than this takes so many paces for each, until it goes on
DEAD = 7  # every thirteenth channel from here on


def activations(count: int, channels: int) -> np.ndarray:
    """The highest of each picture and channel, float32 [count, channels]; dead channels have none above 0."""
    i, c = np.mgrid[0:count, 0:channels]
    values = np.abs(np.sin(1 + 7.3 * i + 3.1 * c)) * (1 + c / 10)
    return np.where(c % 13 == DEAD, 0, values).astype(np.float32)


class FakePatching:
    """The part of the engine that looks through folders."""

    pace: float | None
    calls: list[tuple[Any, ...]]
    _answer: Callable[..., Future[Any]]
    describe: Callable[..., Future[Any]]

    def __init__(self) -> None:
        self.passed: dict[Place, int] = {}  # how many pictures were looked through

    def known(self, model: str = "", layer: str = "", arch: str | None = None) -> Future[Any]:
        rows = [
            {"model": one.model, "layer": one.layer, "source": one.source, "only": one.only,
             "done": done, "pictures": done}
            for one, done in reversed(self.passed.items())
            if not layer or (one.model, one.layer) == (model, layer)
        ]  # fmt: skip
        return self._answer("known", lambda: rows, model, layer)

    def _open(self, place: Place) -> tuple[Collection, list[int], dict[str, str], int]:
        """The pictures, which of them can be read, what is wrong with the others, and how many channels there are."""
        layers = {one["path"]: one["channels"] for one in self.describe(place.model).result()["layers"]}
        if place.layer not in layers:
            raise LayerError(f"There is no layer {place.layer!r}.", "Choose another.")
        collection = collect(place.source, place.only)
        sound, broken = [], {}
        for index, name in enumerate(collection.names):
            try:
                collection.read(index)
                sound.append(index)
            except PictureError as error:
                broken[name] = error.message
        return collection, sound, broken, layers[place.layer]

    def scan(self, place: Place) -> Job[Any]:
        self.calls.append(("scan", place))
        job: Job[Any] = Job()
        job.withdraw = lambda: self.calls.append(("cancel", "scan"))

        def work() -> None:
            try:
                if "scan" in self.fail:  # type: ignore[attr-defined]
                    raise self.fail["scan"]  # type: ignore[attr-defined]
                collection, sound, broken, _ = self._open(place)
                if not sound:
                    raise PictureError("Not one of the pictures can be read.", "Give a folder with pictures.")
                first = self.passed.get(place, 0)
                slow = LONG if not first and len(collection) > MANY else 1
                for done in range(first, len(collection)):
                    time.sleep(slow * (self.pace or 0))
                    if job.cancelled():
                        return
                    self.passed[place] = done + 1
                    job.progress = (done + 1, len(collection))
                job.set_result({"done": len(collection), "pictures": len(collection), "skipped": len(broken)})
            except Exception as error:
                if not job.done():
                    job.set_exception(error)

        threading.Thread(target=work, daemon=True).start() if self.pace else work()
        return job

    def scanned(self, place: Place, *, again: bool = True) -> Future[Any]:
        def act() -> dict[str, Any]:
            collection, sound, broken, channels = self._open(place)
            done = self.passed.get(place, 0)
            seen = [index for index in sound if index < done]
            values = activations(len(collection), channels)[seen]
            order = np.argsort(-values, 0, kind="stable")[:TOP].T
            items = np.full((channels, TOP), -1, "<i4")
            items[:, : order.shape[1]] = np.array(seen, "<i4")[order] if seen else 0
            labels = sorted(set(collection.labels))
            flat = {"highest": values.max(0, initial=0), "mean": values.mean(0) if seen else np.zeros(channels)}
            flat |= {"sparsity": np.linspace(1, 0, channels), "selectivity": np.linspace(0, 0.9, channels)}
            return {
                "layer": place.layer, "channels": channels, "size": 64, "map": [8, 8], "field": 45,
                "pictures": len(collection), "done": done, "skipped": sum(done > 0 for _ in broken), "broken": broken,
                "classes": labels if len(labels) > 1 else [], "places": TOP, "items": items.tobytes(),
                "best": (np.arange(channels) % max(len(labels), 1)).astype("<i4").tobytes(),
                **{name: one.astype("<f4").tobytes() for name, one in flat.items()},
            }  # fmt: skip

        return self._answer("scanned", act, place, again)

    def _nine(self, place: Place, channel: int) -> list[tuple[str, float, np.ndarray]]:
        collection, sound, _, channels = self._open(place)
        if channel >= channels:
            raise LayerError(f"There is no filter {channel}.", "Choose another.")
        values = activations(len(collection), channels)[:, channel]
        seen = sorted((i for i in sound if i < self.passed.get(place, 0)), key=lambda i: (-values[i], i))
        return [(collection.names[i], float(values[i]), fit(collection.read(i), 45)) for i in seen[:TOP]]

    def tile(self, place: Place, channel: int) -> Future[Any]:
        def act() -> bytes:
            sheet = Image.new("RGBA", (196, 196))
            for number, (_, _, pixels) in enumerate(self._nine(place, channel)):
                sheet.paste(Image.fromarray(pixels).resize((64, 64)), (number % 3 * 66, number // 3 * 66))
            return _saved(sheet, "WEBP")

        return self._answer("tile", act, place, channel)

    def top(self, place: Place, channel: int) -> Job[Any]:
        def act() -> dict[str, Any]:
            found = self._nine(place, channel)
            return {
                "channel": channel, "done": self.passed.get(place, 0), "why": "", "intercepted": 3, "bins": 64,
                "histogram": [int(1000 / (1 + i)) for i in range(64)], "low": 0.0, "high": 2.0,
                "patches": [
                    {
                        "name": name, "label": name.rpartition("/")[0], "value": value, "reproduced": value, "y": 1,
                        "x": 2, "box": [0, 0, 45, 45], "pixels": _saved(Image.fromarray(pixels), "PNG"),
                        "projection": _saved(Image.fromarray(255 - pixels), "PNG"),
                    }
                    for name, value, pixels in found
                ],
            }  # fmt: skip

        job: Job[Any] = Job()
        answer = self._answer("top", act, place, channel)
        error = answer.exception()
        job.set_exception(error) if error else job.set_result(answer.result())
        return job

    def original(self, source: str, only: str, name: str) -> Future[Any]:
        def act() -> dict[str, Any]:
            if name not in collect(source, only).names:
                raise PictureError(f"There is no picture {name!r} here.", "Choose another.")
            return {"data": (Path(source) / name).read_bytes(), "type": "image/png"}

        return self._answer("original", act, source, only, name)

    def natural(self, run: str, step: int, channel: int, source: str, only: str = "") -> Future[Any]:
        def act() -> dict[str, Any]:
            return {
                "done": 9, "pictures": 9, "highest": 2.0, "relative": 1.5 + step / 1000,
                "held_out": {"shift 8 px": 0.9, "blur 1 px": 0.7},
                "paths": [{"layer": "stem", "synthetic": 0.4, "natural": 0.5}],
            }  # fmt: skip

        return self._answer("natural", act, run, step, channel, source, only)


def _saved(image: Image.Image, form: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()
