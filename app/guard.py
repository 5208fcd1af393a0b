"""Who may ask: the one check before every address of ours."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from bokeh.server.util import check_allowlist
from bokeh.server.views.auth_request_handler import AuthRequestHandler
from tornado.http1connection import HTTP1Connection
from tornado.web import HTTPError

from app.hub import Hub, get_hub
from vizcore.errors import VizcoreError
from vizcore.history import RunReader

FOREVER = "private, max-age=31536000, immutable"


class Guarded(AuthRequestHandler):
    """For those who may see the page, under a name by which the page is served (against DNS rebinding)."""

    hub: Hub

    async def prepare(self) -> None:
        await super().prepare()
        origins = getattr(self.application, "websocket_origins", None)
        if origins and not check_allowlist(self.request.host or "", origins):
            raise HTTPError(403, reason="Unknown host")
        self.hub = get_hub()

    def set_default_headers(self) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    def compute_etag(self) -> None:
        """No hash of what never changes."""

    def keep(self, reader: RunReader) -> None:
        """Pictures of one revision of a run never change; who names none, or an old one, must ask again."""
        named = self.get_query_argument("r", "")
        self.set_header("Cache-Control", FOREVER if named == str(reader.revision) else "no-cache")

    def reader(self, run: str) -> RunReader:
        """The reader of a run, or 404."""
        try:
            return self.hub.reader(run)
        except VizcoreError:
            raise HTTPError(404, reason="No such run") from None

    def check_page(self) -> None:
        """Only a page of this server may send something."""
        if self.request.method != "POST":
            raise HTTPError(405)
        origins = getattr(self.application, "websocket_origins", None)
        origin = urlsplit(self.request.headers.get("Origin", "")).netloc
        if not origin or (origins and not check_allowlist(origin, origins)):
            raise HTTPError(403, reason="Unknown origin")
        if self.request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin" or not self.current_user:
            raise HTTPError(403, reason="Not from this page")

    def check_length(self, most: int) -> None:
        """A body must say how long it is, and be at most ``most`` bytes."""
        size = self.request.headers.get("Content-Length", "")
        if not size.isdecimal():
            raise HTTPError(411)
        if int(size) > most:
            raise HTTPError(413, reason=f"Over {most // 2**20} MiB")
        connection = self.request.connection
        if isinstance(connection, HTTP1Connection):
            connection.set_max_body_size(most)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{self._reason}\n")
