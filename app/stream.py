"""Pictures to the page: newest wins, at most two updates in flight, nothing is ever queued."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np
from bokeh.models import ColumnDataSource

from app.models import Flow
from vizcore.history import RunReader, pack

WINDOW = 2  # in flight: full throughput at half the latency of an ungated stream
TIMEOUT = 1.5  # seconds after which lost acknowledgements are forgotten, so that the gate cannot stay shut


class Gate:
    """Credit for updates in flight.

    Shut until :meth:`open`; what was sent before the page was there is never acknowledged, so opening
    also forgives all debts.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open = False
        self._base = 0  # acknowledged, or forgiven
        self._sent = 0
        self._last = 0.0
        self.timeouts = 0

    def open(self, sent: int) -> None:
        """The page is there; ``sent`` is the number of the last update made, of which none is owed."""
        self._open, self._base, self._sent, self._last = True, sent, sent, self._clock()

    def shut(self) -> None:
        """Nobody looks."""
        self._open = False

    def ready(self, ack: int) -> bool:
        """Whether one more update may go, the page having acknowledged number ``ack``."""
        if not self._open:
            return False
        if self._base < ack <= self._sent:  # a page cannot acknowledge what was not sent
            self._base = ack
        if self._sent - self._base < WINDOW:
            return True
        if self._clock() - self._last > TIMEOUT:
            self.timeouts += 1
            self._base = self._sent
            return True
        return False

    def sent(self, number: int) -> None:
        """Update ``number`` has gone."""
        self._sent, self._last = number, self._clock()


class Stream:
    """The newest frames of one run, packed into the ``live`` source."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.live = ColumnDataSource({"packed": [np.zeros(0, np.uint8)], "run": [""], "sent": [0]}, name="live")
        self.flow = Flow(name="flow")
        self.gate = Gate(clock)
        self.sent = 0  # updates; the number travels with the pictures, as one message costs less than two
        self._shown: tuple[str, int] | None = None
        self._clock = clock
        self._times: deque[float] = deque(maxlen=64)

    @property
    def rate(self) -> float:
        """Updates per second over the last two seconds."""
        now = self._clock()
        return sum(now - at <= 2.0 for at in self._times) / 2.0

    def open(self) -> None:
        """The page is there: full credit, and the newest frame goes again."""
        self._shown = None
        self.gate.open(self.sent)

    def forget(self) -> None:
        """The next frame goes even if its step was sent before."""
        self._shown = None

    def push(self, run: str, reader: RunReader) -> bool:
        """Send the newest frames of ``run`` if they are new and credit is left; True if they went."""
        if not self.gate.ready(self.flow.ack):
            return False
        step = reader.latest()
        if step is None or self._shown == (run, step):
            return False
        frames = reader.frames(step)
        if not frames:
            return False
        packed = np.frombuffer(pack(step, frames), np.uint8)
        self.sent += 1
        self.live.data = {"packed": [packed], "run": [run], "sent": [self.sent]}
        self.gate.sent(self.sent)
        self._times.append(self._clock())
        self._shown = (run, step)
        return True
