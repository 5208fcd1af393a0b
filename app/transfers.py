"""Addresses of files: exports to be fetched, and the one that takes a file in."""

from __future__ import annotations

from typing import BinaryIO

from tornado.web import HTTPError, authenticated, stream_request_body

from app import publish
from app.files import MAX_UPLOAD
from app.guard import Guarded

CHUNK = 2**18  # bytes that are sent at once


class Fetched(Guarded):
    """A file that was exported, by its token."""

    @authenticated
    async def get(self, token: str) -> None:
        path = self.hub.files.path(token)
        if path is None:
            raise HTTPError(404, reason="No such file")
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", f'attachment; filename="{path.name}"')
        self.set_header("Content-Length", str(path.stat().st_size))
        self.set_header("Cache-Control", "no-store")
        with path.open("rb") as stream:
            while block := stream.read(CHUNK):
                self.write(block)
                await self.flush()


@stream_request_body
class Upload(Guarded):
    """Takes a file in, piece by piece, from a page of this server and nobody else; answers with its token."""

    async def prepare(self) -> None:
        await super().prepare()
        self._stream: BinaryIO | None = None
        self._token = ""
        self.check_page()
        self.check_length(MAX_UPLOAD)
        self._token, path = self.hub.files.new("upload")
        try:
            self._stream = path.open("wb")
        except OSError:
            raise HTTPError(507, reason="No room for the file") from None

    def data_received(self, chunk: bytes) -> None:
        if self._stream is not None:
            try:
                self._stream.write(chunk)
            except OSError:
                self._close()
                self.hub.files.drop(self._token)
                raise HTTPError(507, reason="No room for the file") from None

    def post(self) -> None:
        self._close()
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(publish.text({"token": self._token}))

    def on_connection_close(self) -> None:
        """The sender has given it up."""
        self._close()
        self.hub.files.drop(self._token)

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
