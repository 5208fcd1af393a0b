"""The addresses that answer with what a network makes of a picture, and with its weights."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import authenticated, stream_request_body

from app import publish, target
from app.guard import Guarded
from app.hub import Hub
from vizcore.errors import LayerError, SpecError, VizcoreError

MAX_PICTURE = 32 * 2**20  # bytes of a picture that is sent
MAX_CHANNEL = 10**6
QUESTIONS = ("maps", "strip", "project", "check", "column", "kernels", "carry", "keep", "inspect")
TOLD_EVERY = 0.25  # seconds between two lines of progress


@stream_request_body
class Look(Guarded):
    """``POST /look/QUESTION?model=…``, a question being a command of :class:`vizcore.engine.looks.Looks`.

    The body is a picture as it is in its file, or empty; the engine reads it, not this process.  The answer is a
    header and what it speaks of (:func:`pack`); JSON with the error, likewise under 200, where the picture, network or
    unit is at fault: what a person chose is no fault of the page, and browsers would log it as one.  A check, which
    may take a minute, answers in lines of JSON, of which the last is the answer and the others say how far it is.  A
    request that is given up ends its work.
    """

    async def prepare(self) -> None:
        await super().prepare()
        self._parts: list[bytes] = []
        self._work: Future[Any] | None = None
        self.check_page()
        self.check_length(MAX_PICTURE)

    def data_received(self, chunk: bytes) -> None:
        self._parts.append(chunk)

    @authenticated
    async def post(self, what: str) -> None:
        data = b"".join(self._parts)
        self._parts = []
        self.set_header("Cache-Control", "no-store")
        try:
            model = await permitted(self.hub, self._text("model", 4096))
            self._work = self._ask(what, data, model)
            if what == "check":
                await self._tell(self._work)
            answer = await asyncio.wrap_future(self._work)
        except (asyncio.CancelledError, StreamClosedError):
            return  # given up: nobody reads an answer
        except VizcoreError as error:
            self.set_header("Content-Type", "application/json")
            self.finish(publish.text(error.to_dict()))
            return
        if what == "check":
            self.finish(publish.text(answer))
            return
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(pack(answer))

    async def _tell(self, work: Future[Any]) -> None:
        """How far it is, line by line, until it is done."""
        self.set_header("Content-Type", "application/json")
        while not work.done():
            done, _ = getattr(work, "progress", (0, 0))
            self.write(f'{{"done":{done}}}\n')
            await self.flush()
            await asyncio.sleep(TOLD_EVERY)

    def on_connection_close(self) -> None:
        """The page wants something else by now, or is gone."""
        if self._work is not None:
            self._work.cancel()

    def _ask(self, what: str, data: bytes, model: str) -> Future[Any]:
        engine, arch = self.hub.engine, self.hub.arch(model)
        layer, method = self._text("layer", 4096), self._text("method", 40)
        if what == "strip":
            answer: Future[Any] = engine.strip(data, model, arch)
        elif what == "maps":
            if not layer:
                raise LayerError("No layer is chosen.", "Choose one.")
            answer = engine.maps(data, model, layer, arch)
        elif what == "keep":
            answer = engine.keep(data)
        elif what == "column":
            answer = engine.column(data, model, method, self._text("depth", 40), arch, self._number("share", 0.2))
        elif what == "kernels":
            answer = engine.kernels(model, layer, arch, first=self._count("first"), skip=self._count("skip"))
        elif what == "inspect":
            answer = engine.inspect(model, arch)
        elif what == "carry":
            answer = engine.carry(model, layer, self._count("channel"), arch, data=data)
        elif what == "check":
            answer = engine.check(data, model, layer, self._count("channel"), method, arch, self._place())
        else:
            channel, share = self._count("channel"), self._number("share", 0.2)
            answer = engine.project(data, model, layer, channel, method, arch, share, self._place())
        return answer

    def _text(self, name: str, most: int) -> str:
        return self.get_query_argument(name, "")[:most]

    def _number(self, name: str, default: float) -> float:
        with contextlib.suppress(ValueError):
            value = float(self.get_query_argument(name, str(default))[:20])
            if abs(value) < 1e9:
                return value
        raise SpecError(f"{name} is no number.", "Use the controls of the page.")

    def _count(self, name: str) -> int:
        value = self._number(name, 0)
        if value != int(value) or not 0 <= value < MAX_CHANNEL:
            raise LayerError("There is no such filter.", "Choose one that the page shows.")
        return int(value)

    def _place(self) -> tuple[int, int] | None:
        """The position of a neuron, if one is named."""
        return (self._count("y"), self._count("x")) if self._text("y", 20) else None


async def permitted(hub: Hub, name: str) -> str:
    """The network, if a page may ask for it; raises :class:`ModelError`."""
    own = hub.default_model()
    if name == own:
        return name
    known = await asyncio.wrap_future(hub.models())
    return target.check_model(name, [own, *(entry["name"] for entry in known)])


def pack(answer: Any) -> bytes:
    """Plain data with bytes in it, for a script: length of the header (uint32), header (JSON), the bytes.

    In the header ``{"$": [start, length]}`` stands for bytes, counted from the end of the header.
    """
    blobs: list[bytes] = []
    end = 0

    def plain(value: Any) -> Any:
        nonlocal end
        if isinstance(value, bytes):
            blobs.append(value)
            end += len(value)
            return {"$": [end - len(value), len(value)]}
        if isinstance(value, Mapping):
            return {name: plain(one) for name, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(one) for one in value]
        return value

    header = publish.text(plain(answer)).encode()
    return b"".join([struct.pack("<I", len(header)), header, *blobs])
