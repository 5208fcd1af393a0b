"""The address that takes a picture in and answers with what a network makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from tornado.web import authenticated, stream_request_body

from app import publish, target
from app.guard import Guarded
from vizcore.errors import LayerError, SpecError, VizcoreError

MAX_PICTURE = 32 * 2**20  # bytes of a picture that is sent
MAX_CHANNEL = 10**6


@stream_request_body
class Look(Guarded):
    """``POST /look/maps?model=&layer=``, ``/look/strip?model=`` or ``/look/project?model=&layer=&channel=&method=``.

    The body is a picture as it is in its file; the engine reads it, not this process.  The answer is a header and what
    it speaks of (:func:`pack`); JSON with the error, likewise under 200, where the picture, network or unit is
    at fault: what a person chose is no fault of the page, and browsers would log it as one.  A request
    that is given up ends its work.
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
            model = await self._model()
            self._work = self._ask(what, data, model)
            answer = await asyncio.wrap_future(self._work)
        except asyncio.CancelledError:
            return  # given up: nobody reads an answer
        except VizcoreError as error:
            self.set_header("Content-Type", "application/json")
            self.finish(publish.text(error.to_dict()))
            return
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(pack(answer))

    def on_connection_close(self) -> None:
        """The page wants something else by now, or is gone."""
        if self._work is not None:
            self._work.cancel()

    async def _model(self) -> str:
        name = self.get_query_argument("model", "")[:4096]
        own = self.hub.default_model()
        if name == own:
            return name
        known = await asyncio.wrap_future(self.hub.models())
        return target.check_model(name, [own, *(entry["name"] for entry in known)])

    def _ask(self, what: str, data: bytes, model: str) -> Future[Any]:
        engine, arch = self.hub.engine, self.hub.arch(model)
        layer = self.get_query_argument("layer", "")[:4096]
        if what == "strip":
            answer: Future[Any] = engine.strip(data, model, arch)
        elif what == "maps":
            if not layer:
                raise LayerError("No layer is chosen.", "Choose one.")
            answer = engine.maps(data, model, layer, arch)
        else:
            channel, share = self._number("channel", "0"), self._number("share", "0.2")
            if channel != int(channel) or not 0 <= channel < MAX_CHANNEL:
                raise LayerError("There is no such filter.", "Choose one from the maps.")
            method = self.get_query_argument("method", "")[:40]
            answer = engine.project(data, model, layer, int(channel), method, arch, share)
        return answer

    def _number(self, name: str, default: str) -> float:
        with contextlib.suppress(ValueError):
            value = float(self.get_query_argument(name, default)[:20])
            if abs(value) < 1e9:
                return value
        raise SpecError(f"{name} is no number.", "Use the controls of the page.")


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
