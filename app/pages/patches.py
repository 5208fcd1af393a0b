"""The page Patches: which parts of real pictures excite each channel of a layer most."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, ClassVar

from bokeh.core.properties import String

from app import notices, publish, target
from app.intents import Fields, words
from app.pages.networked import NetworkPage, NetworkState
from app.sources import EXAMPLES
from vizcore.archive import is_archive
from vizcore.engine import Place
from vizcore.errors import PictureError

if TYPE_CHECKING:
    from app.session import Session

MOST = 6  # folders that are offered


class PatchesState(NetworkState):
    """Besides networks: ``folders`` to choose from, the ``dropped`` one, the ``scan`` that goes on or was the last."""

    folders = String(default="")
    dropped = String(default="")
    scan = String(default="")


class PatchesPage(NetworkPage):
    """Begins and ends passes over pictures; what they find comes by HTTP (``app.picturing``)."""

    name, title = "patches", "Patches"
    about = "The parts of real pictures that excite each channel of a layer most."
    intents: ClassVar = {
        **NetworkPage.intents,
        "scan": lambda page, fields: page.scan(fields),
        "stop": lambda page, fields: page.stop(),
        "dropped": lambda page, fields: page.dropped(words(fields, "token"), words(fields, "name")),
    }

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.state: PatchesState = PatchesState(name=self.name)
        self._job = 0
        self._work: Future[Any] | None = None
        self._scan: dict[str, Any] = {}
        self._scans = 0

    def show(self, on: bool) -> None:
        """A pass goes on behind other pages: it takes minutes, and the frame shows how far it is."""
        super().show(on)
        if on:
            self._offer()

    def tick(self) -> None:
        """Hand over what has come, and say how far a pass is."""
        super().tick()
        if self._work is not None and not self._work.done():
            self._scan["done"] = int(getattr(self._work, "progress", (0, 0))[0])
            publish.put(self.state, "scan", self._scan)

    def _offer(self) -> None:
        def known(rows: list[dict[str, Any]]) -> None:
            sources = self.hub.sources
            named = [{"name": sources.name(row["source"]), "only": row["only"]} for row in rows]
            named += [{"name": name, "only": ""} for name in sources.first()]
            unique = {(one["name"], one["only"]): one for one in named if one["name"]}
            rest = [one for key, one in unique.items() if key != (EXAMPLES, "")]
            publish.put(self.state, "folders", [*rest[: MOST - 1], unique[EXAMPLES, ""]])

        self.pending.add(self.hub.engine.known(), known)

    def dropped(self, token: str, name: str) -> None:
        """Pictures that were dropped have come, as a zip; one without any may be an archive of runs.

        Raises:
            PictureError: they have not arrived.
        """
        path, sources = self.hub.files.path(token), self.hub.sources
        if path is None:
            raise PictureError("The pictures have not arrived.", "Drop them once more.")

        def taken(data: str) -> None:
            self.hub.files.drop(token)
            publish.put(self.state, "dropped", {"data": data})
            self._offer()

        def refused(error: BaseException) -> None:
            if is_archive(path):
                self.session.bringing.opened(token, name)
            else:
                self.hub.files.drop(token)
                self.session.tell(notices.from_error(error))

        work = self.hub.long(lambda progress: sources.take(path, name))
        self.session.jobs.add(work, f"Listing {notices.plain(name, 60, markup=False)}", taken, refused)

    def scan(self, fields: Fields) -> None:
        """Look through pictures, or go on where it was left.

        Raises:
            PictureError, ModelError: pictures or a network that this server does not open.
        """
        self.stop()
        model, data, only = words(fields, "model"), words(fields, "data"), words(fields, "only")[:200]
        target.check_model(model, [self.hub.default_model(), *self._known])
        place = Place(model, self.hub.arch(model), words(fields, "layer"), self.hub.sources.find(data), only)
        self._scans += 1
        number = self._scans
        asked = {"model": model, "layer": place.layer, "data": data, "only": only}
        self._scan = {**asked, "n": number, "state": "running", "done": 0, "error": ""}
        self._work = self.hub.engine.scan(place)

        def end(state: str, error: str = "") -> None:
            if number == self._scans:
                self._scan = {**self._scan, "state": state, "error": error}
                publish.put(self.state, "scan", self._scan)
                self._offer()
            self.session.ascent.naturals.again()

        def failed(error: BaseException) -> None:
            told = notices.from_error(error)
            end("failed", told["message"])
            self.session.tell(told)

        self._job = self.session.jobs.add(
            self._work, f"Looking for what excites {place.layer}", lambda _: end("done"), failed, lambda: end("stopped")
        )
        publish.put(self.state, "scan", self._scan)

    def stop(self) -> None:
        """Give the pass up; what it has found stays, and it can go on from there."""
        self.session.jobs.cancel(self._job)
