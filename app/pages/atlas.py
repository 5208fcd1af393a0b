"""The page Atlas: every filter of a network at a glance, each one click from living again."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bokeh.core.properties import String
from bokeh.model import DataModel

from app import notices, publish
from app.intents import Fields, words
from app.pages.page import Page
from app.pending import Pending

if TYPE_CHECKING:
    from app.session import Session

EVERY = 2.0  # seconds between two looks at the disk, where an atlas may grow


class AtlasState(DataModel):
    """What the Atlas says, as JSON: ``atlases``: those that there are, and their versions."""

    atlases = String(default="")


class AtlasPage(Page):
    """Layers, filters and pictures come by HTTP (``app.mapping``)."""

    name, title = "atlas", "Atlas"
    about = "All filters of a network, as vizcore atlas has drawn them."
    intents: ClassVar = {"live": lambda page, fields: page.live(fields)}

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.state = AtlasState(name=self.name)
        self.pending = Pending(lambda error: self.session.tell(notices.from_error(error)))
        self._due = 0.0
        self._asking = False

    def show(self, on: bool) -> None:
        """Look at the disk at once when seen."""
        self._due = 0.0

    def tick(self) -> None:
        """Say which atlases there are."""
        self.pending.tick()
        now = self.session.clock()
        if now >= self._due and not self._asking:
            self._due, self._asking = now + EVERY, True
            self.pending.add(self.hub.aside(self.hub.atlases.list), self._listed, self._unlisted)

    def _listed(self, found: list[dict[str, object]]) -> None:
        self._asking = False
        publish.put(self.state, "atlases", found)

    def _unlisted(self, error: BaseException) -> None:
        self._asking = False
        self.session.tell(notices.from_error(error))

    def live(self, fields: Fields) -> None:
        """Make the run of a picture again on the page Ascent, where it goes on."""
        work = self.hub.aside(self.hub.atlases.recipe, words(fields, "atlas"), words(fields, "tile"))
        self.pending.add(work, self.session.repeat)
