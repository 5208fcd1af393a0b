"""The page Library: every run that was kept, to be found, named, opened and thrown away."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, ClassVar

from bokeh.core.properties import String
from bokeh.model import DataModel

from app import notices, publish
from app.intents import Fields, words
from app.pages.page import Page
from app.pending import Pending

if TYPE_CHECKING:
    from app.session import Session


class LibraryState(DataModel):
    """What the Library says, as JSON: ``shelf``: which version of the list is to be fetched, and its sums."""

    shelf = String(default="")


class LibraryPage(Page):
    """The list itself comes by HTTP (``/library``); here is told that there is a newer one, and changes are made."""

    name, title = "library", "Library"
    intents: ClassVar = {"annotate": lambda page, fields: page.annotate(fields)}

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.state = LibraryState(name="library")
        self.pending = Pending(lambda error: session.tell(notices.from_error(error)))

    def tick(self) -> None:
        """Look whether there is another list."""
        self.pending.tick()
        shelf = self.hub.shelf
        shelf.refresh()
        if shelf.version:
            publish.put(self.state, "shelf", {"version": shelf.version, **shelf.summary})

    def _do(self, work: Future[Any]) -> None:
        self.pending.add(work, lambda _: self.hub.shelf.refresh(now=True))

    def annotate(self, fields: Fields) -> None:
        """Change note or pin of a run."""
        note, pinned = fields.get("note"), fields.get("pinned")
        changes = {
            "note": note if isinstance(note, str) else None, "pinned": pinned if isinstance(pinned, bool) else None
        }  # fmt: skip
        self._do(self.hub.aside(self.hub.library.annotate, words(fields, "run"), **changes))
