"""The page Library: every run that was kept, to be found, named, opened and thrown away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    about = "All runs that were kept: to open, name, compare and delete."
    intents: ClassVar = {
        "annotate": lambda page, fields: page.annotate(fields),
        "delete": lambda page, fields: page.delete(words(fields, "run"), forks=fields.get("forks") is True),
        "restore": lambda page, fields: page.restore(fields.get("runs")),
        "clean": lambda page, fields: page.clean(),
    }

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.state = LibraryState(name="library")
        self.pending = Pending(self._failed)

    def tick(self) -> None:
        """Look whether there is another list."""
        self.pending.tick()
        shelf = self.hub.shelf
        shelf.refresh()
        if shelf.version:
            publish.put(self.state, "shelf", {"version": shelf.version, **shelf.summary})

    def _do(
        self, work: Callable[..., Any], *arguments: Any, then: Callable[[Any], None] | None = None, **named: Any
    ) -> None:
        def done(answer: Any) -> None:
            self.hub.shelf.refresh(now=True)
            if then is not None:
                then(answer)

        self.pending.add(self.hub.aside(work, *arguments, **named), done)

    def _failed(self, error: BaseException) -> None:
        self.hub.shelf.refresh(now=True)  # what the page shows may be what is not so
        self.session.tell(notices.from_error(error))

    def annotate(self, fields: Fields) -> None:
        """Change name, note or pin of a run."""
        texts = {name: text for name in ("name", "note") if isinstance(text := fields.get(name), str)}
        pinned = fields.get("pinned")
        changes = {**texts, **({"pinned": pinned} if isinstance(pinned, bool) else {})}
        self._do(self.hub.library.annotate, words(fields, "run"), **changes)

    def delete(self, run: str, *, forks: bool = False) -> None:
        """Move a run to the trash; it can be taken back until that is emptied."""

        def gone(ids: Sequence[str]) -> None:
            for ident in ids:
                self.hub.forget(ident)
            rest = f" and its {len(ids) - 1} forks are" if len(ids) > 1 else " is"
            undo = {"label": "Undo", "do": "restore", "page": self.name, "runs": list(ids)}
            hint = "It stays there until the trash is emptied."
            self.session.tell(notices.notice("hint", f"The run{rest} in the trash.", hint, action=undo))

        def work() -> Sequence[str]:
            for ident in [run, *(one.id for one in self.hub.library.forks(run))] if forks else [run]:
                self.hub.end(ident)  # a run that goes on cannot be moved
            return self.hub.library.delete(run, forks=forks)

        self._do(work, then=gone)

    def restore(self, runs: object) -> None:
        """Take runs back from the trash, and what they need."""
        library = self.hub.library

        def work() -> None:
            back: set[str] = set()
            for run in runs if isinstance(runs, list) else []:
                if run not in back:
                    back.update(library.restore(str(run)))

        self._do(work)

    def clean(self) -> None:
        """Empty the trash and remove the oldest runs, so many that the library fits its limit."""
        library = self.hub.library

        def work() -> tuple[int, int]:
            plan = library.cleaning()
            library.clean(plan)
            return len(plan.trash) + len(plan.runs), plan.freed

        def told(answer: tuple[int, int]) -> None:
            self.session.tell(notices.notice("info", f"{answer[0]} runs are gone, {publish.size(answer[1])} are free."))

        self._do(work, then=told)
