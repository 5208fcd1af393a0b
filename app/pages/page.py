"""What every page of the dashboard is to the session: a name, models that its script reads, and intents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from bokeh.model import DataModel, Model
from bokeh.models import UIElement

from app.intents import Fields

if TYPE_CHECKING:
    from app.session import Session


class Page:
    """One page, built with each document, of no cost until it is shown.

    Only the shown page ticks.  What a page says goes into the text properties of ``state``, each of which is brought
    to ``take(name, value)`` of its script; what a person asks comes back as an intent with the page's name.

    Args:
        name: in the address (``?page=NAME``), of the script and of the template.
        title: on its tab.
        about: what is seen there, in a sentence for whoever sees it for the first time.
        intents: what its script may ask, by name.
        state: a model of texts, each JSON; its name is the page's.
        models: further models that the script gets when the document is ready.
        roots: what the template embeds.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str] = ""
    intents: ClassVar[Mapping[str, Callable[[Any, Fields], None]]] = {}
    state: DataModel
    models: Mapping[str, Model] = {}
    roots: Sequence[UIElement] = ()

    def __init__(self, session: Session) -> None:
        self.session = session
        self.hub = session.hub

    def show(self, on: bool) -> None:
        """Seen from now on, or hidden (behind another page or tab); may come again with the same value."""

    def tick(self) -> None:
        """Everything that happens by itself; only while shown, every 30 ms, and never over 10 ms long."""

    def theme(self, name: str) -> None:
        """``"dark"`` or ``"light"`` from now on."""

    def close(self) -> None:
        """The browser is gone, perhaps for good; no model may be touched.  May come twice."""
