"""One visit: a document with all pages in it, of which one is shown."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from bokeh.document import Document
from bokeh.models import CustomJS

from app import intents, notices, publish
from app.bringing import Bringing
from app.exports import FILMS, TABLES
from app.hub import Hub
from app.jobs import Jobs
from app.keys import table
from app.models import Ask, Frame, texts
from app.pages import PAGES
from app.pages.ascent import Ascent
from app.pages.dreams import DreamsPage
from app.pages.generators import GeneratorsPage
from app.pages.page import Page
from app.permalink import Address, Place, pairs
from app.sweeps import axes
from vizcore import lineage
from vizcore.errors import VizcoreError
from vizcore.export import Recipe
from vizcore.params import Param
from vizcore.spec import PARAMS

PERIOD = 30  # milliseconds from tick to tick: as often as a page is drawn
HELLO = 1.0  # seconds to wait for the browser's first word after it is ready
FIRST = next(iter(PAGES))


class Session:
    """A visit.  Nothing is asked of the engine before the browser says that it is there.

    Args:
        query: the address that was opened, name by name.
    """

    def __init__(
        self, doc: Document, hub: Hub, query: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.doc, self.hub, self.query, self.clock = doc, hub, query, clock
        self.reduced = False  # motion is not wanted
        self.gone = False  # a plain flag: the handler of a lost connection may not touch a model
        self._viewing = True
        self._started = self._ready = False
        self._hello_due = self._ticked = 0.0
        self._leads = itertools.count(1)
        asked = query.get("page", FIRST)
        self.here = asked if asked in PAGES else FIRST
        self.frame = Frame(name="frame", keys=publish.text(table()))
        self.asked = Ask(name="ask")
        self.asked.on_change("intent", self._intent)
        self.jobs = Jobs(lambda error: self.tell(notices.from_error(error)), clock)
        self.bringing = Bringing(self)
        self.pages: dict[str, Page] = {name: make(self) for name, make in PAGES.items()}
        if asked not in PAGES:
            first, *others = (page.title for page in PAGES.values())
            titles = f"{', '.join([first, *others[:-1]])} and {others[-1]}"
            self.tell(notices.notice("info", f"There is no page {asked[:40]!r}.", f"The pages are {titles}."))
        hub.sessions.add(self)

    # -- life ----------------------------------------------------------------------------------------------

    def ready(self) -> None:
        """The browser has drawn the document."""
        self.gone = False
        if not self._ready:
            self._ready = True
            self._hello_due = self.clock() + HELLO
            self.doc.add_periodic_callback(self.tick, PERIOD)
        elif self._started:
            self._show()

    def hello(self, *, viewing: bool = True, reduced: bool = False, theme: str = "dark") -> None:
        """The browser's first word: what it is like over there."""
        self.theme(theme)
        if not self._started:
            self._started, self.reduced, self._viewing = True, reduced, viewing
            self._show()

    def view(self, on: bool) -> None:
        """The browser's tab is seen, or hidden behind another."""
        self._viewing = on
        self._show()

    def go(self, name: str) -> None:
        """Show another page."""
        if name in self.pages and name != self.here:
            self.pages[self.here].show(False)
            self.here = name
            self._show()

    @property
    def ascent(self) -> Ascent:
        """The page that shows runs."""
        page = self.pages["ascent"]
        assert isinstance(page, Ascent)
        return page

    @property
    def generators(self) -> GeneratorsPage:
        """The page on which codes walk."""
        page = self.pages["generators"]
        assert isinstance(page, GeneratorsPage)
        return page

    @property
    def dreams(self) -> DreamsPage:
        """The page that dreams."""
        page = self.pages["dreams"]
        assert isinstance(page, DreamsPage)
        return page

    def open_run(self, place: Place) -> None:
        """Show a run of the library on the page Ascent, a dream on the page Dreams, codes on the page Generators.

        Raises:
            HistoryError: unknown or damaged.
        """
        if self.open_elsewhere(place):
            return
        self.ascent.open(place)
        self._lead("ascent")

    def open_elsewhere(self, place: Place) -> bool:
        """Show the run on the page Dreams or Generators if it belongs there; whether it does."""
        with contextlib.suppress(VizcoreError):  # whoever opens it otherwise says what is wrong
            spec = self.hub.reader(place.run).spec
            if spec.octaves:
                self.dreams.open(place.run)
                self._lead("dreams")
                return True
            if spec.parameterization == "generator":
                self.generators.open(place)
                self._lead("generators")
                return True
        return False

    def show_run_of(self, address: Address) -> None:
        """Begin a run of what an address names, on the page Ascent."""
        self.ascent.aim(address)
        self._lead("ascent")

    def repeat(self, recipe: Recipe) -> None:
        """Make a run again from the recipe of a picture, and show it."""
        self.ascent.repeat(recipe)
        self._lead("ascent")

    def _lead(self, name: str) -> None:
        """The script is to show another page."""
        publish.put(self.frame, "lead", {"page": name, "n": next(self._leads)})
        self.go(name)

    def _show(self) -> None:
        if self._started:
            self.pages[self.here].show(self._viewing)

    def theme(self, name: str) -> None:
        """``"dark"`` or ``"light"``, for what Bokeh draws."""
        for page in self.pages.values():
            page.theme(name)

    def lost(self) -> None:
        """The connection is gone (called without the document's lock: only a flag is set)."""
        self.gone = True

    def close(self) -> None:
        """The visit ends."""
        self.hub.sessions.discard(self)
        self.jobs.cancel()
        for page in self.pages.values():
            page.close()

    def tick(self) -> None:
        """Everything that happens by itself."""
        now = self.clock()
        if self._ticked:
            self.hub.late(now - self._ticked - PERIOD / 1000)
        if self.gone:
            for page in self.pages.values():
                page.close()
            self.jobs.cancel()
            return
        if not self._started and now >= self._hello_due:
            self.hello()
        self.jobs.tick()
        publish.put(self.frame, "jobs", self.jobs.told())
        self.pages[self.here].tick()
        self._ticked = self.clock()

    # -- notices and intents -------------------------------------------------------------------------------

    def tell(self, notice: Mapping[str, Any]) -> int:
        """Show a notice, unless it says what the one before says; returns the number under which it stands there."""
        shown = json.loads(self.frame.notice) if self.frame.notice else {}
        if shown.get("message") and {**notice, "id": 0} == {**shown, "id": 0}:
            return int(shown["id"])
        publish.put(self.frame, "notice", notice)
        return int(notice.get("id", 0))

    def hush(self, ident: int) -> None:
        """Take the notice back, if it is that one."""
        if self.frame.notice and json.loads(self.frame.notice)["id"] == ident:
            publish.put(self.frame, "notice", "")

    def _intent(self, attribute: str, old: str, new: str) -> None:
        try:
            intents.carry_out(self, new)
        except Exception as error:
            self.tell(notices.from_error(error))


def open_page(
    doc: Document, hub: Hub, clock: Callable[[], float] = time.monotonic, query: str | None = None
) -> Session:
    """Build one visit into ``doc``, at the address ``query`` (default: that of the request)."""
    context = doc.session_context
    arguments = context.request.arguments if context is not None and context.request is not None else {}
    session = Session(doc, hub, pairs(arguments if query is None else query), clock)
    titles = {name: page.title for name, page in session.pages.items()}
    doc.title = "vizcore"
    doc.template_variables.update(
        {
            "version": str(int(hub.started)),
            "pages": titles,
            "abouts": {name: page.about for name, page in session.pages.items()},
            "here": session.here,
            "films": films(),
            "tables": tables(),
            "axes": axes(),
            "settings": settings(),
        }
    )
    doc.config.reconnect_session = False  # loses pictures in Bokeh 3.9; the page reloads instead
    doc.config.notify_connection_status = False
    roots = [root for page in session.pages.values() for root in page.roots]
    pages = {name: {"state": page.state, **page.models} for name, page in session.pages.items()}
    # part of the document, without a view
    roots[0].tags = [session.frame, session.asked, *(model for models in pages.values() for model in models.values())]
    _attach(doc, session, pages)  # before the roots are there: each later callback would walk through all models
    with doc.models.freeze():
        for root in roots:
            doc.add_root(root)
    doc.on_event("document_ready", lambda _: session.ready())
    doc.on_event("connection_lost", lambda _: session.lost())
    doc.on_session_destroyed(lambda _context, session=session: session.close())
    return session


def settings() -> list[Param]:
    """The settings that a fork may have otherwise by a choice."""
    return [PARAMS[name] for name in lineage.SETTINGS if name in PARAMS and PARAMS[name].choices]


def films() -> list[str]:
    """The kinds of film that can be written here: videos need PyAV."""
    return [form for form in FILMS if form in ("webp", "gif") or importlib.util.find_spec("av") is not None]


def tables() -> list[str]:
    """The kinds of table that can be written here: Parquet needs pyarrow."""
    return [form for form in TABLES if form == "csv" or importlib.util.find_spec("pyarrow") is not None]


def _attach(doc: Document, session: Session, pages: dict[str, dict[str, Any]]) -> None:
    """The calls into the pages' scripts."""
    for owner, state in {"": session.frame, **{name: page.state for name, page in session.pages.items()}}.items():
        for name in texts(state):
            code = f"window.vizcore?.told?.('{owner}', '{name}', state.{name})"
            state.js_on_change(name, CustomJS(args={"state": state}, code=code))
    models = {"frame": session.frame, "ask": session.asked, "pages": pages}
    code = "window.vizcore?.ready?.({doc: frame.document, frame, ask, pages})"
    doc.js_on_event("document_ready", CustomJS(args=models, code=code))
    doc.js_on_event("connection_lost", CustomJS(code="window.vizcore?.lost?.()"))
