"""Where a fork comes from: its ancestors, each up to the step at which it was left.

::

    spec, knobs ──ascend──► step ─┐
                                  └─ fewer filters, other settings ─► spec, knobs ──ascend──► step ─┐
                                                                                                    └─► the fork

This line of values is all that is needed to make a fork again where its parents are not; a fork's file holds it, and
so does every recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vizcore import spec as specs
from vizcore.errors import SpecError
from vizcore.history.schema import damaged
from vizcore.params import Value
from vizcore.spec import HOT, PARAMS, Knobs, RunSpec

if TYPE_CHECKING:
    from vizcore.history import RunReader

SETTINGS = ("objective", "optimizer", "policy", "precision", "seed")
"""What a fork may have otherwise besides hot knobs: the picture that it leaves with means the same under them."""
DEPTH = 64  # of forks of forks, as in a run file
CLASSES = ("class", "-class")  # the objectives whose rows are classes; those of all others are filters

Turn = tuple[int, str, Value]


@dataclass(frozen=True)
class Ancestor:
    """A run up to the update of ``step``, at which it was left; ``knobs`` are the turns that acted until then."""

    spec: RunSpec
    knobs: tuple[Turn, ...]
    step: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"spec": specs.to_dict(self.spec), "knobs": [list(turn) for turn in self.knobs], "step": self.step}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ancestor:
        """What :meth:`to_dict` gave, checked value by value.

        Raises:
            SpecError: a value out of range.
            ValueError, TypeError, KeyError: something else than that.
        """
        spec, step = specs.from_dict(data["spec"]), data["step"]
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 2**40:
            raise ValueError("no step")
        return cls(
            spec, tuple(Knobs(spec, [(int(at), str(name), value) for at, name, value in data["knobs"]]).log), step
        )


Line = tuple[Ancestor, ...]


def of(reader: RunReader) -> Line | None:
    """The ancestors of a run, the topmost first; none for a run that is no fork, ``None`` if they are not known.

    The file says it; a file of an earlier vizcore does not, so that its parent's is asked.

    Raises:
        HistoryError: the file says something that cannot be.
    """
    told = reader.meta.get("above")
    if told is not None:
        try:
            return read(told, reader.spec)
        except (SpecError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise damaged() from error
    if not reader.is_fork:
        return ()
    parent = reader.parent
    above = None if parent is None else of(parent)
    return None if parent is None or above is None else (*above, left(parent.spec, reader.knobs(), reader.root))


def left(spec: RunSpec, knobs: Iterable[Turn], step: int) -> Ancestor:
    """The run of ``spec`` and ``knobs``, left before the update of ``step``."""
    return Ancestor(spec, tuple(turn for turn in knobs if turn[0] < step), step)


def read(data: object, spec: RunSpec) -> Line:
    """The ancestors of a run of ``spec`` from JSON values; raises as :meth:`Ancestor.from_dict` does."""
    if not isinstance(data, Sequence) or len(data) > DEPTH:
        raise ValueError("no line of ancestors")
    line = tuple(Ancestor.from_dict(one) for one in data)
    for ancestor, after in zip(line, (*line[1:], None), strict=False):
        following = after.spec if after else spec
        settings = {name: getattr(following, name) for name in SETTINGS}
        if fork(ancestor.spec, following.channels, settings) != following or (after and after.step < ancestor.step):
            raise ValueError("not a fork of the one before")
    return line


def fork(spec: RunSpec, channels: Iterable[int], settings: Mapping[str, object]) -> RunSpec:
    """The spec of a fork: some filters of ``spec``, some settings otherwise.

    Raises:
        SpecError: a filter that the run has not, a setting that a fork cannot change, a value out of range.
    """
    wanted = tuple(channels)
    unknown = [channel for channel in wanted if channel not in spec.channels]
    if unknown or not wanted:
        have = ", ".join(map(str, spec.channels))
        raise SpecError(
            f"The run has no filter {unknown[0]}." if unknown else "A fork needs a filter.", f"Use of {have}."
        )
    for name in settings:
        if name not in SETTINGS:
            raise _refused(name)
    objective = settings.get("objective", spec.objective)
    if (objective in CLASSES) != (spec.objective in CLASSES):
        rows, others = ("classes", "filters") if spec.objective in CLASSES else ("filters", "classes")
        raise SpecError(f"The run's pictures are of {rows}, not of {others}.", "Start a new run with that objective.")
    return spec.replace(channels=wanted, **settings)


def split(values: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """Values by name as the knobs and the settings of a fork; raises :class:`SpecError` for an unknown name."""
    for name in values:
        if name not in PARAMS and name != "objective":
            raise specs.unknown_parameter(name)
    return (
        {name: value for name, value in values.items() if name in HOT},
        {name: value for name, value in values.items() if name not in HOT},
    )


def _refused(name: str) -> SpecError:
    if name not in PARAMS:
        return specs.unknown_parameter(name)
    return SpecError(
        f"{PARAMS[name].label} cannot change in a fork, which begins with the picture of its parent.",
        "Start a new run with it.",
    )
