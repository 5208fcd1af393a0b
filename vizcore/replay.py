"""Travelling in a stored run: its steps made anew from checkpoints, and forks that leave from them.

::

    checkpoint ≤ first ──ascend with the recorded knobs──► first … last        Rerun, an iterator of frames
                                     │                        ├─► remake: into the run file
                                     │                        └─► verify: held against what was recorded
                                     └─► state before the update of a step ──► branch: what a fork begins with

On a CPU with equal software, threads and precision, all of which the run file records, the numbers are the recorded
ones bit for bit; elsewhere they are equal to the eye.

What takes a while is a generator: it yields (steps done, steps in all) after each step and returns its result.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vizcore import lineage
from vizcore.ascent import Frame, ascend
from vizcore.engine.devices import environment
from vizcore.errors import HistoryError
from vizcore.history import RunReader, checkpoint_every, decode
from vizcore.history.codec import encode
from vizcore.history.recall import recall
from vizcore.params import Value
from vizcore.spec import Knobs, RunSpec

if TYPE_CHECKING:
    from vizcore.runs import Library
    from vizcore.zoo.load import Network

Progress = tuple[int, int]
MAX_THREADS = 256  # a run file from elsewhere must not ask for thousands


class Rerun(Iterator[Frame]):
    """The frames of a stored run, made anew from the last checkpoint at or before step ``first``.

    Those before ``first`` lead there and have no pictures.

    Args:
        reader: of the run.  A step of an ancestor is made anew from the ancestor's checkpoints, with all its filters.
        device: where to compute.

    Raises:
        HistoryError: the step was never computed, no checkpoint leads to it, or the network has other weights.
    """

    def __init__(self, reader: RunReader, network: Network, first: int, device: str = "cpu") -> None:
        self.reader = reader.owner(first)
        meta = self.reader.meta
        recorded = meta.get("environment") or {}
        if meta.get("weights_hash") not in ("", None, network.card.weights_hash):
            raise HistoryError("The network's weights are not those of the run.", "Use the weights of that time.")
        self.start, state = self.reader.checkpoint_at(first)
        spec, exact = self.reader.spec, recorded.get("exact") is True
        if recorded.get("precision") in ("fp32", "bf16"):
            spec = spec.replace(precision=recorded["precision"])
        self._threads = _count(recorded.get("threads"))
        knobs = Knobs(self.reader.spec, self.reader.knobs())
        self.ascent = ascend(
            spec, network, knobs, device=device, exact=exact, keep=lambda step: step >= first, state=state
        )

    def __next__(self) -> Frame:
        before = torch.get_num_threads()
        if self._threads is None or self._threads == before:
            return next(self.ascent)
        torch.set_num_threads(self._threads)  # sums are split by threads, and rounded where they are split
        try:
            return next(self.ascent)
        finally:
            torch.set_num_threads(before)

    def recorded(self, step: int) -> tuple[bytes, float]:
        """Scores and gradient norms of ``step`` as bytes, and the largest of the scores."""
        steps, scores, norms = self.reader.scores(step - 1, 1)
        if not len(steps) or steps[0] != step:
            raise HistoryError(f"Step {step} was made anew in the meantime.", "Go to the step again.")
        return scores.tobytes() + norms.tobytes(), float(np.nanmax(np.abs(scores), initial=0.0))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_THREADS else None


# Steps that were thinned out -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Remade:
    """What :func:`remake` did.

    Args:
        run: in whose file the pictures are: the run's own, or an ancestor's.
        steps: that have pictures now and had none before.
        identical: every score and gradient norm on the way equals the recorded one, bit for bit.
        difference: the largest difference of a score, as a share of the largest recorded score of its step.
    """

    run: str
    steps: tuple[int, ...]
    identical: bool
    difference: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**self.__dict__, "steps": list(self.steps)}


def remake(
    reader: RunReader, network: Network, first: int, last: int | None = None, device: str = "cpu"
) -> Generator[Progress, None, Remade]:
    """Make the pictures of the steps ``first`` to ``last`` (default: of ``first``) anew and put them into the run file.

    Raises:
        HistoryError: a step that was never computed, or as for :class:`Rerun`.
        StorageError: no space, or no room under the run's bound.
    """
    last = first if last is None else last
    newest = _newest(reader)
    if not 0 <= first <= last <= newest:
        raise HistoryError(f"The run has no step {last if 0 <= first <= last else first}.", f"It is at step {newest}.")
    owner = reader.owner(first)
    end = _part(reader, owner, last)
    rerun, revision = Rerun(reader, network, first, device), owner.own_revision
    made, identical, worst = [], True, 0.0
    for frame in rerun:
        same, difference = _compare(rerun, frame)
        identical, worst = identical and same, max(worst, difference)
        images = frame.images if not owner.stays(frame.step) else None
        if images is not None and recall(owner.path, frame.step, images, revision, first):
            made.append(frame.step)
        yield frame.step - rerun.start + 1, end - rerun.start + 1
        if frame.step >= end:
            break
    if end == last:
        return Remade(owner.path.stem, tuple(made), identical, worst)
    rest = yield from remake(reader, network, end + 1, last, device)
    return Remade(rest.run, (*made, *rest.steps), identical and rest.identical, max(worst, rest.difference))


def _part(reader: RunReader, owner: RunReader, last: int) -> int:
    """The last step, at most ``last``, that ``owner`` made of what ``reader`` shows: the rest is its descendants'."""
    end, below = last, reader
    while below is not owner and below.parent is not None:
        end, below = min(last, below.root - 1), below.parent
    return end


def _compare(rerun: Rerun, frame: Frame) -> tuple[bool, float]:
    """Whether the numbers of ``frame`` are the recorded ones, and how far the scores are from them, relatively."""
    numbers, scale = rerun.recorded(frame.step)
    scores = frame.scores.astype("<f4")
    if scores.tobytes() + frame.gradient_norms.astype("<f4").tobytes() == numbers:
        return True, 0.0
    recorded = np.frombuffer(numbers, "<f4")[: len(scores)]
    distance = float(np.nanmax(np.abs(scores - recorded), initial=0.0))
    return False, distance / scale if scale else distance


def _newest(reader: RunReader) -> int:
    rows = reader.scores(max(int(reader.latest() or 0), reader.root) - 1)[0]
    return int(rows[-1]) if len(rows) else -1


# The whole run -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What :func:`verify` found.

    Args:
        steps: that were made anew.
        pictures: that were compared.
        first_difference: the first step whose scores, gradient norms or pictures differ; ``None`` if none does.
        score_difference: the largest, as a share of the largest recorded score of its step.
        picture_difference: the largest of a pixel's value, 0 to 255.
        environment: what is not as it was: ``{"name", "recorded", "here"}`` each.
    """

    steps: int
    pictures: int
    first_difference: int | None
    score_difference: float
    picture_difference: int
    environment: tuple[dict[str, Any], ...]

    @property
    def identical(self) -> bool:
        """Whether everything is as it was recorded, bit for bit."""
        return self.first_difference is None


def verify(reader: RunReader, network: Network, device: str = "cpu") -> Generator[Progress, None, Verdict]:
    """Make all own steps of a run anew from its first checkpoint and compare them with what was recorded.

    Raises:
        HistoryError: the run has no steps, or as for :class:`Rerun`.
    """
    begin, newest = reader.root, _newest(reader)
    if newest < begin:
        raise HistoryError("The run has no steps.", "Start it first.")
    rerun = Rerun(reader, network, begin, device)
    kept = set(reader.steps().tolist())
    first, worst, pixels, pictures, count = None, 0.0, 0, 0, 0
    for frame in rerun:
        same, difference = _compare(rerun, frame)
        if frame.step in kept and frame.images is not None:
            distance = _distance(reader, frame.step, frame.images)
            pictures, pixels, same = pictures + len(frame.images), max(pixels, distance), same and distance == 0
        first = frame.step if first is None and not same else first
        worst, count = max(worst, difference), count + 1
        yield frame.step - begin + 1, newest - begin + 1
        if frame.step >= newest:
            break
    return Verdict(count, pictures, first, worst, pixels, tuple(changes(reader, device, rerun.ascent.precision)))


def _distance(reader: RunReader, step: int, images: np.ndarray) -> int:
    """The largest difference of a pixel between what is stored of a step and ``images``, encoded the same way."""
    worst = 0
    for stored, image in zip(reader.frames(step), images, strict=True):
        _, data = encode(image, stored.lossless)
        if data != stored.data:  # another release of the encoder, or another picture
            other = decode(
                type(stored)(step, stored.channel, "", data, stored.lossless, 0, 0, grey=image.shape[2] == 1)
            )
            worst = max(worst, int(np.abs(other.astype(int) - decode(stored)).max()))
    return worst


def changes(reader: RunReader, device: str, precision: str) -> list[dict[str, Any]]:
    """What of the recorded environment is another here: ``{"name", "recorded", "here"}`` each."""
    recorded = reader.meta.get("environment") or {}
    here = {**environment(device, recorded.get("exact") is True), "precision": precision}
    here["threads"] = _count(recorded.get("threads")) or here["threads"]  # of which a rerun takes as many
    return [
        {"name": name, "recorded": recorded[name], "here": value}
        for name, value in here.items()
        if name in recorded and recorded[name] != value
    ]


# Forks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Branch:
    """What a fork begins with: spec, knob log, the state before its first update, and whose frames come before.

    ``above`` are its ancestors, if they are known.
    """

    spec: RunSpec
    log: tuple[tuple[int, str, Value], ...]
    state: Mapping[str, np.ndarray]
    parent: tuple[str, int]
    shared: int
    above: lineage.Line | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What its file is told of it: its ancestors, so that it can be repeated without them."""
        return {} if self.above is None else {"above": [ancestor.to_dict() for ancestor in self.above]}


def branch(
    reader: RunReader,
    network: Network,
    step: int,
    channels: Iterable[int] | None = None,
    knobs: Mapping[str, object] | None = None,
    seed: int | None = None,
    device: str = "cpu",
    settings: Mapping[str, object] | None = None,
) -> Generator[Progress, None, Branch]:
    """Leave a run before the update of ``step``: same picture, new knobs, new random numbers, other settings.

    Args:
        step: of the run or of an ancestor, which is then the parent.
        channels: the filters that come along; all of the run's if not given.
        knobs: hot parameters that are turned at ``step``; the others stay as they were there.
        seed: of the random moves from there on.
        settings: cold ones that are otherwise from there on, of :data:`vizcore.lineage.SETTINGS`.

    Raises:
        SpecError: a filter that the run has not, a setting that cannot change, an unknown knob, a value out of range.
        HistoryError: as for :class:`Rerun`.
    """
    newest = _newest(reader)
    if not 0 <= step <= newest:
        raise HistoryError(f"The run has no step {step}.", f"It is at step {newest}.")
    owner = reader.owner(step)
    wanted = reader.spec.channels if channels is None else tuple(channels)
    lineage.fork(reader.spec, wanted, {})  # of the filters that are shown
    spec = lineage.fork(owner.spec, wanted, {**(settings or {}), **({} if seed is None else {"seed": seed})})
    log = Knobs(spec, (turn for turn in owner.knobs() if turn[0] <= step))
    for name, value in (knobs or {}).items():
        log.set(step, name, value)
    shared, above = owner.own_revision, lineage.of(owner)
    if above is not None:
        above = (*above, lineage.left(owner.spec, owner.knobs(), step))
    rerun = Rerun(reader, network, step, device)
    while rerun.ascent.step < step:
        next(rerun)
        yield rerun.ascent.step - rerun.start, step - rerun.start
    state = carried(rerun.ascent.checkpoint(), owner.spec, spec)
    return Branch(spec, tuple(log.log), state, (owner.path.stem, step), shared, above)


def carried(state: Mapping[str, np.ndarray], before: RunSpec, after: RunSpec) -> dict[str, np.ndarray]:
    """The state of a run as a fork takes it up: its filters only, and the moments of Adam from 0 if they are new."""
    rows = [before.channels.index(channel) for channel in after.channels]
    arrays = {
        name: array if array.ndim == 0 else np.ascontiguousarray(array[rows])
        for name, array in state.items()
        if after.optimizer == "adam" or not name.startswith("adam_")
    }
    if after.optimizer == "adam" and before.optimizer != "adam":
        arrays |= {name: np.zeros_like(arrays["parameter"]) for name in ("adam_m", "adam_v")}
        arrays["adam_begin"] = np.array(int(state["step"]))
    return arrays


def rebuild(
    above: lineage.Line,
    spec: RunSpec,
    knobs: Iterable[lineage.Turn],
    network: Network,
    library: Library,
    device: str = "cpu",
    exact: bool = False,
) -> Generator[Progress, None, Branch]:
    """Make the ancestors of a fork anew, as runs of ``library``, each up to where it was left.

    Whatever ends it before its end leaves the library as it was.

    Args:
        above: at least one.
        spec, knobs: of the fork.

    Raises:
        SpecError: the network does not have what a spec asks for.
        HistoryError: an ancestor ends before the step at which it is said to have been left.
    """
    made: list[str] = []
    root: Branch | None = None
    try:
        for index in range(len(above)):
            after = above[index + 1].spec if index + 1 < len(above) else spec
            root = yield from _again(above, index, after, root, made, network, library, device, exact)
    except BaseException:
        for run in reversed(made):
            library.discard(run)
        raise
    assert root is not None
    return replace(root, spec=spec, log=tuple(knobs))


def _again(
    above: lineage.Line,
    index: int,
    after: RunSpec,
    root: Branch | None,
    made: list[str],
    network: Network,
    library: Library,
    device: str,
    exact: bool,
) -> Generator[Progress, None, Branch]:
    """One ancestor, from where the one before it was left; what the next one begins with."""
    spec, end = above[index].spec, above[index].step
    knobs = Knobs(spec, above[index].knobs)
    ascent = ascend(spec, network, knobs, device=device, exact=exact, state=root.state if root else None)
    run, writer = library.create(
        spec, environment={**environment(device, exact), "precision": ascent.precision},
        weights_hash=network.card.weights_hash, parent=root.parent if root else None,
        shared=root.shared if root else None, facts=root.facts if root else None,
    )  # fmt: skip
    made.append(run)
    with writer:
        for turn in knobs.log:
            writer.knob(*turn)
        writer.checkpoint(ascent.step, ascent.checkpoint())
        while ascent.step < end:
            frame = next(ascent, None)
            if frame is None or frame.images is None:
                raise HistoryError(
                    f"The run ends before step {end}, where it is said to have been left.", "Start it anew."
                )
            writer.add(frame.step, frame.images, frame.scores, frame.gradient_norms, frame.status)
            if ascent.step % checkpoint_every(spec) == 0:
                writer.checkpoint(ascent.step, ascent.checkpoint())
            yield ascent.step, above[-1].step
        state = ascent.checkpoint()
        writer.checkpoint(ascent.step, state)
        writer.set_state("paused")
    return Branch(after, (), carried(state, spec, after), (run, end), 0, above[: index + 1])
