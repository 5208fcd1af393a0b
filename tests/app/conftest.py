"""A page over the engine without a network, and a clock that is moved by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bokeh.document import Document

from app.hub import Hub, set_hub
from app.pages.ascent import Ascent
from app.session import Session, open_page
from tests.app.fake import FakeEngine
from vizcore.runs import Library


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(home: Path) -> Iterator[Hub]:
    library = Library(home)
    made = Hub(library, FakeEngine(library))
    set_hub(made)
    made.start()
    yield made
    made.close()
    set_hub(None)


class Visit:
    """A page, and what its browser would do."""

    def __init__(self, hub: Hub, clock: Clock, query: str = "") -> None:
        self.doc = Document()
        self.hub, self.clock, self.engine = hub, clock, hub.engine
        self.session: Session = open_page(self.doc, hub, clock, query)
        page = self.session.pages["ascent"]
        assert isinstance(page, Ascent)
        self.page = page
        self._asked = 0

    def arrive(self, **hello: Any) -> Visit:
        self.session.ready()
        self.ask("hello", **hello)
        return self.go()

    def ask(self, do: str, **fields: Any) -> None:
        self._asked += 1
        self.session.asked.intent = json.dumps({"n": self._asked, "do": do, **fields})

    def go(self, seconds: float = 0.5, turns: int = 0) -> Visit:
        """Let time pass in ticks of 30 ms, the engine making a step in each of the first ``turns``."""
        for index in range(max(1, round(seconds / 0.03))):
            if index < turns:
                self.engine.turn()
                self.engine.flush()
            self.clock.pass_(0.03)
            self.session.tick()
            self.page.stream.flow.ack = self.page.stream.sent
        return self

    def told(self, name: str) -> Any:
        text = getattr(self.session.frame if name in ("notice", "keys") else self.page.state, name)
        return json.loads(text) if text else None

    def calls(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.engine.calls if call[0] == name]

    def turn(self, name: str, value: Any) -> None:
        """Move the widget of a parameter as a browser does."""
        control = self.page.controls.parameters[name]
        setattr(control.widget, control._attribute, value)


@pytest.fixture
def visit(hub: Hub, clock: Clock) -> Callable[..., Visit]:
    return lambda query="": Visit(hub, clock, query)
