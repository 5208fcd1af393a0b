"""Addresses beside the page: health, metrics, frames, runs, exports; and one that takes a file in."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from bokeh.server.views.auth_request_handler import AuthRequestHandler
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, RequestHandler, authenticated

from app import publish
from app.guard import FOREVER, Guarded
from app.looking import QUESTIONS, Look
from app.mapping import PATTERN, Atlas
from app.picturing import QUESTIONS as PATCHES
from app.picturing import Patches
from app.rulers import PATTERN as RULER
from app.rulers import Ruled
from app.training import IDS
from app.trainings import Trained
from app.transfers import Fetched, Upload
from vizcore import assets
from vizcore.errors import VizcoreError
from vizcore.export import contact_sheet, png_bytes, recipe_of
from vizcore.history import RunReader, decode, kept_ranges, pack
from vizcore.spec import to_dict

_RUN = r"([0-9]{8}-[0-9]{6}-[0-9a-f]{6})"  # ids only, never a path
_STEP = r"([0-9]{1,9})"


class Home(AuthRequestHandler):
    """The bare address leads to the page, and what it asks for comes along."""

    @authenticated
    def get(self) -> None:
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(f"{getattr(self.application, 'prefix', '')}/app{query}")


class Health(RequestHandler):
    """``ok`` while the event loop turns; builds no session and asks nobody who he is."""

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.finish("ok\n")


class Frames(Guarded):
    """All pictures of exactly one step, packed; 404 when they were not kept."""

    @authenticated
    def get(self, run: str, step: str) -> None:
        reader = self.reader(run)
        self.keep(reader)  # first: if steps are made anew in between, the old revision is kept by nobody for long
        frames = reader.frames(int(step))
        if not frames:
            raise HTTPError(404, reason="No pictures of this step")
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(pack(int(step), frames))


class Frame(Guarded):
    """One picture as it was stored."""

    @authenticated
    def get(self, run: str, step: str, channel: str) -> None:
        reader = self.reader(run)
        try:
            self.keep(reader)
            frame = reader.frame(int(step), int(channel))
        except VizcoreError:
            frame = None
        if frame is None:
            raise HTTPError(404, reason="No such picture")
        self.set_header("Content-Type", frame.codec)
        self.finish(frame.data)


class Picture(Guarded):
    """One picture as a PNG to keep, with its recipe inside; without a filter, all of a step on one sheet."""

    @authenticated
    async def get(self, run: str, step: str, channel: str | None = None) -> None:
        reader = self.reader(run)
        work = partial(_png, reader, int(step), None if channel is None else int(channel))
        try:
            data = await IOLoop.current().run_in_executor(None, work)  # a large one takes longer than a tick
        except VizcoreError:
            data = None
        if data is None:
            raise HTTPError(404, reason="No such picture")
        name = "-".join(part for part in (run, channel, str(int(step))) if part)
        self.set_header("Content-Type", "image/png")
        self.set_header("Content-Disposition", f'attachment; filename="{name}.png"')
        self.finish(data)


def _png(reader: RunReader, step: int, channel: int | None) -> bytes | None:
    if channel is not None:
        frame = reader.frame(step, channel)
        return None if frame is None else png_bytes(decode(frame), recipe_of(reader, step, channel))
    frames = reader.frames(step)
    if not frames:
        return None
    sheet = contact_sheet(np.stack([decode(frame) for frame in frames]), [str(frame.channel) for frame in frames])
    return png_bytes(sheet, recipe_of(reader, step))


class Run(Guarded):
    """What is known of a run; ``?scores=1`` adds the score of every step and filter."""

    @authenticated
    async def get(self, run: str) -> None:
        reader = self.reader(run)
        answer: dict[str, Any] = {
            "id": run,
            "spec": to_dict(reader.spec),
            "state": reader.state,
            "latest": reader.latest(),
            "revision": reader.revision,
            "channels": list(reader.spec.channels),
            "steps": kept_ranges(reader.steps()),
            "knobs": [list(knob) for knob in reader.knobs()],
        }
        told = publish.text(answer)
        if self.get_query_argument("scores", "0") == "1":
            scores = await IOLoop.current().run_in_executor(None, _scores, reader)  # half a million numbers, perhaps
            told = f'{told[:-1]},"scores":{scores}}}'
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(told)


def _scores(reader: RunReader) -> str:
    """Scores as JSON, written row by row: the event loop gets its turns in between."""
    steps, *tables = reader.scores()
    scores, norms = ("[" + ",".join(publish.text(row.tolist()) for row in table) + "]" for table in tables)
    return f'{{"steps":{publish.text(steps.tolist())},"scores":{scores},"norms":{norms}}}'


class Given(Guarded):
    """A picture that a run was given: what it starts from, its mask, or what it aims at; empty if it is not here."""

    @authenticated
    def get(self, run: str, which: str) -> None:
        self.set_header("Cache-Control", "no-store")
        try:
            data = assets.find(getattr(self.reader(run).spec, which), ".png", "picture").read_bytes()
        except (VizcoreError, OSError):
            self.set_status(204)
            return
        self.set_header("Content-Type", "image/png")
        self.finish(data)


class Shelf(Guarded):
    """The list of runs, as the Library page shows it; ``v`` names its version."""

    @authenticated
    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(self.hub.shelf.text)


class Thumbnail(Guarded):
    """The newest pictures of a run, small; empty if it has none, or is gone since the list was made."""

    @authenticated
    async def get(self, run: str) -> None:
        stamp = self.get_query_argument("v", "")[:40]
        work = partial(self.hub.shelf.thumbnail, run, stamp)
        try:
            data = await IOLoop.current().run_in_executor(None, work)
        except VizcoreError:
            data = None
        if data is None:
            self.set_header("Cache-Control", "no-store")
            self.set_status(204)
            return
        self.set_header("Content-Type", "image/webp")
        self.set_header("Cache-Control", FOREVER if stamp else "no-cache")
        self.finish(data)


class Metrics(Guarded):
    """How the server does, as JSON."""

    @authenticated
    def get(self) -> None:
        hub = self.hub
        streams = [session.pages["ascent"].stream for session in list(hub.sessions)]
        answer = {
            "uptime": time.time() - hub.started,
            "sessions": len(streams),
            "loop_lag_ms": 1000 * hub.lag,
            "engine": bool(getattr(hub.engine, "alive", False)),
            "updates_per_second": [stream.rate for stream in streams],
            "timeouts": sum(stream.gate.timeouts for stream in streams),
            "runs": {
                ident: {"state": state.state, "step": state.step, "steps": state.steps, "rate": state.rate}
                for ident, state in list(hub.engine.states.items())
            },
        }
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(publish.text(answer))


PATTERNS: list[tuple[str, type[RequestHandler]]] = [
    (r"/healthz", Health),
    (r"/metrics", Metrics),
    (rf"/frames/{_RUN}/{_STEP}", Frames),
    (rf"/frames/{_RUN}/{_STEP}/{_STEP}", Frame),
    (rf"/export/{_RUN}/{_STEP}/{_STEP}\.png", Picture),
    (rf"/export/{_RUN}/{_STEP}\.png", Picture),
    (r"/exports/([A-Za-z0-9_-]{22})", Fetched),
    (r"/open", Upload),
    (f"/look/({'|'.join(QUESTIONS)})", Look),
    (rf"/patches/({'|'.join(PATCHES)})", Patches),
    (rf"/training/({IDS})/(filters|mistakes)/([0-9]{{1,9}})\.png", Trained),
    (rf"/runs/{_RUN}", Run),
    (rf"/runs/{_RUN}/(source|mask|picture)\.png", Given),
    (r"/library", Shelf),
    (PATTERN, Atlas),
    (RULER, Ruled),
    (rf"/thumbnails/{_RUN}", Thumbnail),
]

SERVED = [(r"/?", Home), *PATTERNS]
"""The addresses of ``vizcore serve``: there the bare one is the page's, too."""


def _with_query(handler: RequestHandler, url: str, *args: Any, **options: Any) -> None:
    query = "" if "?" in url else handler.request.query  # a way to the login says itself where it leads back
    RequestHandler.redirect(handler, f"{url}?{query}" if query else url, *args, **options)


def install() -> bool:
    """Give a plain ``bokeh serve app`` these addresses too; False where Bokeh keeps its list elsewhere.

    Without them the page still streams; only dragging through the history has no pictures to fetch.  What the bare
    address asks for comes along to the page, which Bokeh's own redirect leaves behind.
    """
    try:
        from bokeh.server.urls import toplevel_patterns
        from bokeh.server.views.root_handler import RootHandler
    except ImportError:
        return False
    RootHandler.redirect = _with_query
    have = {entry[0] for entry in toplevel_patterns}
    toplevel_patterns[:0] = [entry for entry in PATTERNS if entry[0] not in have]
    return True
