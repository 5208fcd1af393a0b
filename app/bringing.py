"""Exports and opened files of one visit, of whatever page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app import exports, notices, publish
from app.permalink import Place
from vizcore.errors import ExportError
from vizcore.export import Recipe

if TYPE_CHECKING:
    from app.session import Session


class Bringing:
    """What is taken along and brought back; what it tells is in the frame: ``fetch``, a file that is ready."""

    def __init__(self, session: Session) -> None:
        self._session, self._hub = session, session.hub
        self._recipe: Recipe | None = None  # of an opened picture whose run is not here

    def export(self, wish: exports.Wish) -> None:
        """Write a file for the browser to fetch."""
        token, path = self._hub.files.new(wish.name)
        library = self._hub.library
        job = self._hub.long(lambda progress: exports.make(library, wish, path, progress))

        def made(_: Any) -> None:
            told = {"url": f"exports/{token}", "name": wish.name, "bytes": path.stat().st_size}
            publish.put(self._session.frame, "fetch", told)

        def failed(error: BaseException) -> None:
            self._hub.files.drop(token)
            self._session.tell(notices.from_error(error))

        self._session.jobs.add(job, f"Writing {wish.name}", made, failed, lambda: self._hub.files.drop(token))

    def opened(self, token: str, name: str) -> None:
        """A file that has come: a picture gives its run back, an archive its runs."""
        path = self._hub.files.path(token)
        if path is None:
            raise ExportError("The file has not arrived.", "Open it again.")
        library = self._hub.library
        job = self._hub.long(lambda progress: exports.bring(library, path, progress))

        def failed(error: BaseException) -> None:
            self._hub.files.drop(token)
            self._session.tell(notices.from_error(error))

        def brought(found: exports.Brought) -> None:
            self._hub.files.drop(token)
            self._hub.shelf.refresh(now=True)
            if found.recipe is not None:
                self._picture(found)
            else:
                self._runs(found)

        title = f"Opening {notices.plain(name, 60, markup=False)}"
        self._session.jobs.add(job, title, brought, failed, lambda: self._hub.files.drop(token))

    def _picture(self, found: exports.Brought) -> None:
        recipe = found.recipe
        assert recipe is not None
        if found.run is not None:
            self._session.open_run(Place(found.run, recipe.channel, recipe.step))
            return
        self._recipe = recipe
        spec = recipe.spec
        self._session.tell(
            notices.notice(
                "hint",
                f"Its run is not here: {spec.model}, {spec.layer or spec.objective}, step {recipe.step}.",
                "It can be repeated from its recipe, with every turn of a knob.",
                title="Recipe found",
                action={"label": "Repeat it", "do": "repeat"},
            )
        )

    def _runs(self, found: exports.Brought) -> None:
        count, fresh = len(found.runs), found.fresh
        if found.run is not None:
            self._session.open_run(Place(found.run))
        what = "The run is" if count == 1 else f"The {count} runs are"
        message = f"{what} in the library now." if fresh else f"{what} in the library already."
        if 0 < fresh < count:
            message = f"{fresh} of {count} runs are new in the library."
        self._session.tell({**notices.notice("info", message), "keep": True})

    def repeat(self) -> None:
        """Run again what the recipe of the opened picture says."""
        if self._recipe is not None:
            recipe, self._recipe = self._recipe, None
            self._session.repeat(recipe)
