"""What pages have in common that show one run of their own kind, of which the script asks for the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from app import notices, publish
from app.intents import words
from app.pages.networked import NetworkPage
from vizcore.errors import VizcoreError
from vizcore.spec import PARAMS, RunSpec

if TYPE_CHECKING:
    from app.session import Session


class RunningPage(NetworkPage):
    """Begins runs, turns their knobs, and lets them rest while they are not seen.

    A subclass says which ``knobs`` may be turned, and :meth:`told_of` what its ``state`` tells of a run.
    """

    knobs: ClassVar[tuple[str, ...]] = ()
    intents: ClassVar = {
        **NetworkPage.intents,
        "knob": lambda page, fields: page.turn(words(fields, "name"), fields.get("value")),
        "pause": lambda page, fields: page.pause(),
        "resume": lambda page, fields: page.resume(),
    }

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.run = ""
        self._viewer = f"{self.name}-{id(self)}"
        self._wishes = 0  # runs that were asked for: only the last is shown
        self._seen = False

    def told_of(self, run: str) -> dict[str, Any]:
        """What the script is told of the run that is shown."""
        raise NotImplementedError

    def show(self, on: bool) -> None:
        """A run that is not seen rests."""
        super().show(on)
        self._seen = on
        if self.run:
            self._watch(self.run, on)

    def close(self) -> None:
        if self.run and self._seen:
            self._seen = False
            self._watch(self.run, False)

    def tick(self) -> None:
        super().tick()
        if not self.run:
            return
        try:
            told = self.told_of(self.run)
        except VizcoreError as error:
            self.session.tell(notices.from_error(error))
            self.run, told = "", {}
        publish.put(self.state, "run", told)

    def _watch(self, run: str, on: bool) -> None:
        engine = self.hub.engine
        self.pending.add(
            engine.watch(run, self._viewer) if on else engine.unwatch(run, self._viewer), None, lambda _: None
        )

    def _start(self, spec: RunSpec) -> None:
        self._wishes += 1
        wish = self._wishes
        self.pending.add(self.hub.engine.begin(spec), lambda run: self._begun(run, wish))

    def _begun(self, run: str, wish: int) -> None:
        """Show the run, if no other was wished for since; the one that is not shown is kept, and pauses."""
        before = self.run if wish == self._wishes else run
        if before:
            self._watch(before, False)
            self.pending.add(self.hub.engine.pause(before), None, lambda _: None)
        if wish == self._wishes:
            self.run = run
            self._watch(run, self._seen)

    def turn(self, name: str, value: object) -> None:
        """Turn a knob of the run that is shown."""
        if self.run and name in self.knobs and self.hub.engine.states.get(self.run) is not None:
            self.pending.add(self.hub.engine.knob(self.run, name, PARAMS[name].clamp(value)))

    def pause(self) -> None:
        if self.run:
            self.pending.add(self.hub.engine.pause(self.run))

    def resume(self) -> None:
        """Go on, also with a run of the library."""
        if not self.run:
            return
        engine, run = self.hub.engine, self.run
        known = engine.states.get(run) is not None
        self.pending.add(
            engine.resume(run) if known else engine.resume_run(run), lambda _: self._watch(run, self._seen)
        )
