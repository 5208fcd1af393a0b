"""What crosses the pipe between the client and its child process.

Down: ``(number, command, arguments)``.  Up: ``("ready", info)``, ``("reply", number, value)``,
``("error", number, VizcoreError.to_dict())``, ``("progress", number, done, total)``,
``("state", RunState.to_dict())``, ``("loading", model, note)``,
``("fatal", error)`` from a child that cannot work here.
Everything is plain data: no class of torch, no exception object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STATES = ("loading", "running", "paused", "resting", "done", "failed", "interrupted")
ACTIVE = ("loading", "running", "resting")
"""States of a run that goes on when somebody looks; these are taken up again when the child was killed."""

GRACE = 2.0  # seconds without a viewer after which a run rests
STATUS_EVERY = 0.25  # seconds between two states of a run that only count its steps

BEGINNING = b"-"  # stands for a run that has no name yet where the child notes whose step it computes

Command = tuple[int, str, dict[str, Any]]
Event = tuple[Any, ...]


@dataclass(frozen=True)
class Place:
    """Which pictures, seen by which layer.

    Args:
        source: folder or zip.
        only: text in the names of the pictures; empty for all.
    """

    model: str
    arch: str | None
    layer: str
    source: str
    only: str = ""


@dataclass(frozen=True)
class Comparison:
    """What :mod:`vizcore.ruler` is to compare methods on.

    Args:
        layer: of the units; empty for classes.
        units: channels or classes.
        generator: for the methods that walk a code; empty without.
        fit: how its pictures come to the network's size.
        judge: another network of the same classes; empty without.
        source: real pictures: a folder, a zip, or the name of a data set; empty without.
        most: real pictures, at most.
        seeds: pictures of each unit.
        steps: of every method; its own number if 0.
    """

    model: str
    arch: str | None
    layer: str
    units: tuple[int, ...]
    generator: str = ""
    fit: str = "exact"
    judge: str = ""
    source: str = ""
    most: int = 500
    seeds: int = 2
    steps: int = 0


@dataclass(frozen=True)
class RunState:
    """The newest that is known of a run.

    Args:
        run: its id.
        state: one of :data:`STATES`.
        step: the last frame that was computed; -1 before the first.
        steps: where it ends, as the knob stands.
        rate: steps per second over the last second, 0 when it does not run.
        eta: seconds to the end at that rate, None when unknown.
        seconds: time spent in this run's steps.
        memory: resident bytes of the engine's process.
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: of the network, ``"fp32"`` or ``"bf16"``.
        statuses: per filter, ``"ok"``, ``"zero gradient"``, ``"dead"`` or ``"nan"``.
        error: kind, message and hint of what ended the run.
        note: a sentence on what goes on (``"history paused"``), or empty.
    """

    run: str
    state: str
    step: int = -1
    steps: int = 0
    rate: float = 0.0
    eta: float | None = None
    seconds: float = 0.0
    memory: int | None = None
    device: str = ""
    precision: str = ""
    statuses: tuple[str, ...] = ()
    error: dict[str, str] | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunState:
        """The state in a dict of :meth:`to_dict`."""
        return cls(**{**data, "statuses": tuple(data["statuses"])})

    def replace(self, **changes: Any) -> RunState:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class Config:
    """What the child is started with."""

    home: str
    device: str = "auto"
    exact: bool = False
    live: int = 8  # runs that keep their tensors although they do not run,
    idle: float = 60.0  # and for how many seconds at most: they come back from their file
    networks: int = 4  # networks kept loaded: as many as are compared
    files: tuple[str, ...] = ()  # weights files that may be loaded; networks with a name always may
    share: bool = True  # whether runs take steps together; not after a death, so that its cause can be told
