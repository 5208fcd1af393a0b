"""Leaving the line of time: forks, steps that were thinned out, pins, and a second picture beside the shown one."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app import notices, publish
from app.permalink import Place
from vizcore.export import Recipe
from vizcore.history import RunReader
from vizcore.spec import HOT, Knobs, RunSpec

if TYPE_CHECKING:
    from app.pages.ascent import Ascent

NEAR = 24  # runs that B is offered from without going to the Library
CLOSE = 1e-3  # relative difference of scores that is not worth a word


class Travels:
    """What the page Ascent does with the past of its run.

    What it tells, in the page's state: ``family`` (forks of this run, runs to compare with), ``pins`` and ``against``
    (picture B: where it is and which steps its run kept).
    """

    def __init__(self, page: Ascent) -> None:
        self._page = page
        self._hub, self._pilot, self._jobs = page.hub, page.pilot, page.session.jobs
        self._family: tuple[str | None, int] = None, -1
        self.against: Place | None = None

    # -- forks ---------------------------------------------------------------------------------------------

    def fork(
        self,
        step: int,
        channels: Sequence[int] | None,
        *,
        now: bool = False,
        reseed: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Leave the shown run before the update of ``step``.

        Args:
            channels: filters that come along; all if not given.
            now: the knobs are as they stand at present, not as they were at that step.
            reseed: the random moves are others from there on.
            settings: cold ones that are otherwise from there on.
        """
        run, reader, wanted = self._pilot.run, self._pilot.reader, self._pilot.wanted
        if run is None or reader is None or wanted is None:
            return
        then = Knobs(reader.spec, reader.knobs()).at(step)
        knobs = {name: getattr(wanted, name) for name in HOT if now and getattr(wanted, name) != then[name]}
        seed = secrets.randbelow(10_000) if reseed else None
        job = self._hub.engine.fork(run, step, channels=channels, knobs=knobs, seed=seed, settings=settings)
        self._jobs.add(job, f"Leaving at step {step}", self._forked)

    def _forked(self, run: str) -> None:
        self._page.open(Place(run))
        self._hub.shelf.refresh(now=True)

    def repeat(self, spec: RunSpec, recipe: Recipe) -> None:
        """Make a fork again from its recipe, after the runs that it comes from."""
        above = tuple(replace(one, spec=one.spec.replace(arch=spec.arch)) for one in recipe.above)
        job = self._hub.engine.repeat(spec, recipe.knobs, above)
        self._jobs.add(job, f"Repeating what it was forked from, to step {above[-1].step}", self._forked)

    # -- steps that were thinned out -----------------------------------------------------------------------

    def recompute(self, step: int) -> None:
        """Make the pictures of a step anew that was not kept."""
        run = self._pilot.run
        if run is None:
            return
        job = self._hub.engine.recompute(run, step)
        self._jobs.add(job, f"Step {step} is being recomputed", self._recomputed, self._not_recomputed)

    def _recomputed(self, answer: dict[str, Any]) -> None:
        self._page.look_again()
        if not answer["identical"] and answer["difference"] > CLOSE:
            self._page.tell(
                notices.notice(
                    "info",
                    f"The recomputed scores differ from the recorded ones by up to {100 * answer['difference']:.2g} %.",
                    "The run was made on another device, or with other threads or versions.",
                )
            )

    def _not_recomputed(self, error: BaseException) -> None:
        self._page.look_again()
        self._page.tell(notices.from_error(error))

    # -- pins ----------------------------------------------------------------------------------------------

    def pin(self, step: int, channel: int | None, note: str, instead: Sequence[int | None] = ()) -> None:
        """Keep the pictures of a step for good, with a note on one filter or on all; again to change the note.

        Args:
            instead: of which filter (or all) the pin was before.
        """
        run, library = self._pilot.run, self._hub.library

        def write(run: str) -> None:
            library.pin(run, step, note, channel)
            for old in instead:
                library.unpin(run, step, old)

        if run is not None:
            work = self._hub.aside(write, run)
            self._pilot.pending.add(work, lambda _: self._page.look_again(), self._not_recomputed)

    def unpin(self, step: int, channel: int | None) -> None:
        """Take a pin away."""
        if self._pilot.run is not None:
            work = self._hub.aside(self._hub.library.unpin, self._pilot.run, step, channel)
            self._pilot.pending.add(work, lambda _: self._page.look_again(), self._not_recomputed)

    # -- picture B -----------------------------------------------------------------------------------------

    def compare(self, place: Place | None) -> None:
        """Lay another picture beside the shown one, its curve beside the curves; ``None`` takes it away."""
        self.against = place
        if place is None:
            self._page.curves.against(None)
            publish.put(self._page.state, "against", "")
            return
        self._pilot.pending.add(self._hub.aside(self._look_at, place), self._found, self._page.complain)

    def _look_at(self, place: Place) -> dict[str, Any]:
        """Aside: what there is to know of B."""
        with self._hub.library.open(place.run) as reader:
            spec, steps = reader.spec, reader.steps()
            channel = place.filter if place.filter in spec.channels else spec.channels[0]
            at, scores, _ = reader.scores()
            values = scores[:, spec.channels.index(channel)]
            kept = [int(step) for step in steps]
            wish = place.step if place.step is not None else (kept[-1] if kept else 0)
            step = min(kept, key=lambda one: abs(one - wish)) if kept else 0
            told = {
                "run": place.run, "title": notices.plain(title(reader), markup=False), "channels": list(spec.channels),
                "channel": channel, "step": step, "steps": publish.ranges(steps), "revision": reader.revision,
                "asked": place.step,
            }  # fmt: skip
            return {"told": told, "curve": (at, values)}

    def _found(self, found: dict[str, Any]) -> None:
        told = found["told"]
        if self.against is None or self.against.run != told["run"]:
            return
        self.against = Place(told["run"], told["channel"], told["step"])
        publish.put(self._page.state, "against", told)
        self._page.curves.against(found["curve"], told["step"])

    # -- what is told --------------------------------------------------------------------------------------

    def changed(self, reader: RunReader) -> None:
        """The run file has grown."""
        pins = [[pin.step, pin.channel, pin.note] for pin in reader.pins()]
        publish.put(self._page.state, "pins", {"run": self._pilot.run, "pins": pins})

    def tick(self) -> None:
        """Tell of forks, when there are other runs."""
        shelf, run = self._hub.shelf, self._pilot.run
        if run is None or (run, shelf.version) == self._family:
            return
        if self._family[0] != run:
            shelf.refresh(now=True)
        self._family = run, shelf.version
        publish.put(self._page.state, "family", {"run": run, **shelf.family(run, NEAR)})


def title(reader: RunReader) -> str:
    """What a person calls a run."""
    spec = reader.spec
    return str(reader.meta.get("name") or "") or f"{spec.layer or 'classes'}, {spec.preset}"
