"""The run behind a page: what is wanted, what runs, and the way from one to the other."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from app import notices, target
from app.hub import Hub
from app.pending import Pending
from app.permalink import Address, encode
from vizcore.errors import HistoryError, LayerError, ModelError, SpecError, VizcoreError
from vizcore.export import Recipe
from vizcore.history import RunReader
from vizcore.params import Value
from vizcore.spec import HOT, PARAMS, Knobs, RunSpec, build

PAUSE = 0.25  # seconds without a change before a new run begins
FURTHER = 256  # steps that "go further" adds
ACTIVE = ("loading", "running")
STARTING = "Starting"
UNDO = {"label": "Undo", "do": "undo"}  # the controls say again what is shown


class Pilot:
    """Turns what the user asks into runs of the engine.

    Hot parameters go to the run at the next tick, the newest value only; cold ones begin a new run after a
    pause, and the old one stays in the library.  Any call may come at any time.

    Args:
        viewer: the name under which the engine knows this page.
        tell: takes a notice for the user.
        adopted: called when the page shows another run, or the same one with more known about it.
    """

    def __init__(
        self,
        hub: Hub,
        viewer: str,
        tell: Callable[[dict[str, Any]], None],
        adopted: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hub, self.viewer = hub, viewer
        self._tell, self._adopted, self._clock = tell, adopted, clock
        self.pending = Pending(self._failed)
        self.run: str | None = None
        self.reader: RunReader | None = None
        self.wanted: RunSpec | None = None
        self.description: dict[str, Any] | None = None
        self.models: list[dict[str, Any]] = []
        self.busy = ""  # what is being waited for, for the status line
        self._watching: str | None = None
        self._viewing = True
        self._cold: dict[str, Any] = {}
        self._due = 0.0
        self._hot: dict[str, Value] = {}
        self._flights: dict[str, Future[Any]] = {}
        self._sent: dict[str, list[Value]] = {}  # turns of this page that its run file did not have when last read
        self._turn = 0  # of the newest wish; answers to older ones are dropped

    # -- from nothing or an address ------------------------------------------------------------------------

    def start(self, address: Address, *, autostart: bool = True) -> None:
        """Show the run of the address, or begin the one it describes, or the default."""
        self.pending.add(self.hub.models(), self._take_models)
        if address.run is not None:
            try:
                self.open(address.run, resume=autostart)
                return
            except VizcoreError as error:
                again = "Start it again" if address.target or address.past else "Start the showcase"
                self._tell({**notices.from_error(error, {"label": again, "do": "start"}), "keep": True})
                autostart = False
        self._begin_address(address, autostart)

    def begin_address(self, address: Address) -> None:
        """Begin what the address describes, its run id aside."""
        self._begin_address(address, True)

    def _begin_address(self, address: Address, autostart: bool) -> None:
        model = address.target.get("model") or self.hub.default_model()
        named = {name: value for name, value in address.target.items() if name != "arch"}  # the server knows its file
        address = dataclasses.replace(address, target=named)
        arch = self.hub.arch(model)

        def described(description: dict[str, Any]) -> None:
            size = description["default_size"]
            defaults = {"model": model, "arch": arch, "size": size, **target.showcase(description)}
            before = (self.description, self.wanted) if self.run is not None and self.wanted is not None else None
            self.description = description
            plain = build(model, defaults["layer"], defaults["channels"], arch=arch, size=size)
            try:
                fit = target.fitting(address.target.get("layer"), defaults["channels"], description)
                spec = target.check(address.spec(**{**defaults, "channels": fit}), description)
            except VizcoreError as error:
                self._tell({**notices.from_error(error), "keep": True})
                spec = plain
            self.wanted = spec
            self._adopted()
            if autostart:
                self._begin(spec, plain, before)

        def refused(error: BaseException) -> None:
            self.busy = ""
            other = self._other_than(model) if isinstance(error, ModelError) else None
            if other is None:
                self._tell(notices.from_error(error, notices.again(error, do="start")))
                return
            told = notices.from_error(error, notices.again(error, do="model", name=model))
            told["hint"] += f" Meanwhile this is {other}."  # never empty
            self._tell({**told, "keep": True})
            self._begin_address(Address(target={"model": other}), autostart)

        self._describe(model, described, refused)

    def _other_than(self, model: str) -> str | None:
        """The network to show when ``model`` cannot be had: the default, else a bundled one."""
        default, showcase = self.hub.default_model(), self.hub.showcase_model()
        return default if model not in (default, showcase) else showcase if model != showcase else None

    def _describe(
        self,
        model: str,
        then: Callable[[dict[str, Any]], None],
        fail: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Call ``then`` with what the engine knows of a model, if it is still wanted by then."""
        self._turn += 1
        turn = self._turn
        self.busy = f"Loading {model}"

        def described(description: dict[str, Any]) -> None:
            if turn == self._turn:
                self.busy = ""
                then(description)

        def allowed(models: list[dict[str, Any]]) -> None:
            if turn == self._turn:
                known = [entry["name"] for entry in models]
                target.check_model(
                    model, [*known, self.hub.default_model(), *([self.wanted.model] if self.wanted else [])]
                )
                self.pending.add(self.hub.describe(model), described, fail)

        if model == self.hub.default_model():
            self.pending.add(self.hub.describe(model), described, fail)
        else:
            self.pending.add(self.hub.models(), allowed, fail)

    def open(self, run: str, *, resume: bool = True) -> None:
        """Show a run of the library, and go on with it if it was interrupted.

        Its pictures are shown even if its network cannot be had.

        Raises:
            HistoryError: unknown or damaged.
        """
        reader = self.hub.reader(run)
        self._turn += 1
        turn = self._turn
        spec: RunSpec = reader.spec
        self.busy = ""
        self._cold.clear()  # what was asked for is of the run before
        if self.wanted is None or (self.wanted.model, self.wanted.arch) != (spec.model, spec.arch):
            self.description = None
        self._adopt(run, reader, spec.replace(**turned(reader)))

        def described(description: dict[str, Any]) -> None:
            if turn == self._turn:
                self.description = description
                self._adopted()

        def refused(error: BaseException) -> None:
            if turn == self._turn:
                self._tell(notices.from_error(error, notices.again(error, do="open", run=run)))

        self.pending.add(self.hub.describe(spec.model, spec.arch), described, refused)
        if resume and run not in self.hub.engine.states and reader.state not in ("done", "failed", "paused"):
            self.pending.add(self.hub.engine.resume_run(run), lambda _: self._watch(), refused)

    def repeat(self, recipe: Recipe, fork: Callable[[RunSpec, Recipe], None]) -> None:
        """Begin the run of a recipe again, with every turn of a knob; ``fork`` does it for one that left another."""
        spec = recipe.spec.replace(arch=self.hub.arch(recipe.spec.model))

        def described(description: dict[str, Any]) -> None:
            target.check(spec, description)
            here = description["card"].get("weights_hash", "")
            if recipe.weights_hash and here and here != recipe.weights_hash:
                hint = "The pictures will not be those of the recipe."
                self._tell({**notices.notice("info", "The network here has other weights.", hint), "keep": True})
            if recipe.above:
                fork(spec, recipe)
                return
            self.description, self.wanted = description, spec
            self._begin(spec, knobs=recipe.knobs)

        self._describe(spec.model, described)

    # -- what the user asks --------------------------------------------------------------------------------

    def set(self, name: str, value: object) -> None:
        """A parameter was changed; any value is brought into range."""
        meta = PARAMS[name]
        clamped = meta.clamp(value)
        if self.wanted is None:
            self._cold[name] = clamped
            return
        if meta.hot and not self._cold:
            if getattr(self.wanted, name) == clamped and name not in self._hot:
                return
            self.wanted = self.wanted.replace(**{name: clamped})
            if self.run is not None:
                self._hot[name] = clamped
            return
        self.ask(name, clamped)

    def ask(self, name: str, value: object) -> None:
        """Something cold was changed: a parameter, or preset, model, layer, filters, objective."""
        self._cold[name] = value
        self._due = self._clock() + PAUSE

    def follow(self, turns: Iterable[tuple[str, Value]]) -> bool:
        """Take over what was turned elsewhere; what is on its way from here wins.

        Args:
            turns: what the log of the run has anew, in its order; turns of this page are among them.

        Returns:
            Whether anything was taken over.
        """
        theirs: dict[str, Value] = {}
        for name, value in turns:
            ours = self._sent.get(name, [])
            if value in ours:
                del ours[: ours.index(value) + 1]
                theirs.pop(name, None)  # turned there before it was turned here
            elif not ours and name not in self._hot:
                theirs[name] = value
        if theirs and self.wanted is not None:
            self.wanted = self.wanted.replace(**theirs)
        return bool(theirs)

    @property
    def layer_wanted(self) -> RunSpec:
        """The wanted spec with the layer that was asked for last, so that quick steps through layers add up."""
        assert self.wanted is not None
        return self.wanted.replace(layer=self._cold.get("layer", self.wanted.layer))

    def toggle(self) -> None:
        """Pause what runs, run what rests, go further from the end."""
        state = self.state
        if state in ACTIVE:
            self.pause()
        elif state == "done":
            self.further()
        elif state in ("failed", "none"):
            self.restart()
        else:
            self.resume()

    def pause(self) -> None:
        """Stop within one step."""
        if self.run is not None and self._known:
            self.pending.add(self.hub.engine.pause(self.run))

    def resume(self) -> None:
        """Go on."""
        self._on_engine(lambda run: self.hub.engine.resume(run))

    def step(self) -> None:
        """One step; pauses first what runs."""

        def one(run: str) -> Future[Any]:
            if self.state in ACTIVE:
                self.pending.add(self.hub.engine.pause(run))
            return self.hub.engine.step(run, 1)

        self._on_engine(one)

    def further(self, by: object = FURTHER) -> None:
        """Raise the number of steps and go on."""
        if self.wanted is None:
            return
        amount = by if isinstance(by, int) and not isinstance(by, bool) and 0 < by <= 4096 else FURTHER
        self.set("steps", int(self.wanted.steps) + amount)
        self._adopted()
        if self.state not in ACTIVE:
            self._flush()  # the knob first: there is nowhere to go before it is turned
            self.resume()

    def restart(self, **changes: object) -> None:
        """Begin again with the present values; the old run stays."""
        if self.wanted is not None:
            self._cold.update(changes)
            self._cold.setdefault("seed", self.wanted.seed)
            self._due = self._clock()

    # -- the clockwork -------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Hand over answers, begin what is due, send knobs."""
        self.pending.tick()
        if self._cold and self.wanted is not None and self._clock() >= self._due:
            changes, self._cold = self._cold, {}
            self._apply(changes)
        self._flush()

    def _flush(self) -> None:
        """The newest value of each turned knob, if the one before has been taken."""
        if self.run is None or not self._hot or self.busy == STARTING:
            return
        if not self._known:
            if "" not in self._flights or self._flights[""].done():
                resumed = self.hub.engine.resume_run(self.run)
                self._flights[""] = self.pending.add(resumed, lambda _: self._watch(), self._not_resumed)
            return
        for name in list(self._hot):
            flight = self._flights.get(name)
            if flight is None or flight.done():
                self._send(self.run, name, self._hot.pop(name))

    def _send(self, run: str, name: str, value: Value) -> None:
        self._sent.setdefault(name, []).append(value)

        def refused(error: BaseException) -> None:
            self._sent.pop(name, None)
            self._failed(error)

        self._flights[name] = self.pending.add(self.hub.engine.knob(run, name, value), fail=refused)

    def _apply(self, changes: dict[str, Any]) -> None:
        assert self.wanted is not None
        model = changes.get("model", self.wanted.model)
        if model != self.wanted.model or self.description is None:
            arch = self.hub.arch(model) if model != self.wanted.model else self.wanted.arch

            def refused(error: BaseException) -> None:
                self.busy = ""
                self._tell(notices.from_error(error, notices.again(error, do="model", name=model)))
                self._adopted()  # the list of models names again what is shown

            self._describe(model, lambda description: self._change({**changes, "arch": arch}, description), refused)
        else:
            self._change(changes, self.description)

    def _change(self, changes: dict[str, Any], description: dict[str, Any]) -> None:
        assert self.wanted is not None
        try:
            spec = target.changed(self.wanted, changes, description)
        except VizcoreError as error:
            self._tell(notices.from_error(error, UNDO))
            return
        before = (self.description, self.wanted)
        self.description, self.wanted = description, spec
        if "preset" in changes:
            self._tell_of_paper(spec)
        self._begin(spec, before=before)

    def _tell_of_paper(self, spec: RunSpec) -> None:
        remedy = notices.paper(spec)
        if remedy is not None:
            self._tell({**remedy, "keep": True})  # it is about the run that begins now

    def _begin(
        self,
        spec: RunSpec,
        instead: RunSpec | None = None,
        before: tuple[dict[str, Any] | None, RunSpec] | None = None,
        knobs: tuple[tuple[int, str, Value], ...] = (),
    ) -> None:
        """Begin a run.

        Args:
            instead: what to begin if the engine says that ``spec`` cannot be.
            before: description and spec that are wanted again if it refuses.
            knobs: turns that the run makes by itself.
        """
        self._turn += 1
        turn = self._turn
        self.busy = STARTING
        self._hot.clear()

        def begun(run: str) -> None:
            if turn != self._turn:  # something newer was asked for meanwhile
                self.pending.add(self.hub.engine.stop(run))
                return
            self.busy = ""
            reader = self.hub.reader(run)
            self._adopt(run, reader, spec.replace(**turned(reader)) if knobs else self.wanted or spec)

        def refused(error: BaseException) -> None:
            if turn != self._turn:
                return
            self.busy = ""
            cannot_be = isinstance(error, (SpecError, LayerError))
            if cannot_be and before is not None:  # what was typed stays to be corrected
                self._tell(notices.from_error(error, UNDO))
                self.description, self.wanted = before
            elif cannot_be and instead is not None and instead != spec:
                self._tell({**notices.from_error(error), "keep": True})
                self.wanted = instead
                self._begin(instead)
            else:
                self._tell(notices.from_error(error, notices.again(error, do="start", address=encode(spec))))
                if before is not None:
                    self.description, self.wanted = before
                self._adopted()

        begin = self.hub.engine.begin
        self.pending.add(begin(spec, knobs=knobs) if knobs else begin(spec), begun, refused)

    def _adopt(self, run: str, reader: RunReader, spec: RunSpec) -> None:
        self.run, self.reader, self.wanted = run, reader, spec
        self._sent.clear()
        begun = turned(reader)
        self._hot = {name: getattr(spec, name) for name in HOT if getattr(spec, name) != begun[name]}
        self._watch()
        self._adopted()

    # -- who looks -----------------------------------------------------------------------------------------

    def view(self, on: bool) -> None:
        """The page is seen, or not: a run that nobody sees rests."""
        self._viewing = on
        self._watch()

    def _watch(self) -> None:
        engine = self.hub.engine
        wish = self.run if self._viewing else None
        if self._watching is not None and self._watching != wish:
            self.pending.add(engine.unwatch(self._watching, self.viewer))
            self._watching = None
        if wish is not None and self._watching != wish and wish in engine.states:
            self.pending.add(engine.watch(wish, self.viewer))
            self._watching = wish

    def close(self) -> None:
        """The page is gone; no Bokeh call is made."""
        if self._watching is not None:
            self.hub.engine.unwatch(self._watching, self.viewer)
            self._watching = None

    def forget(self, run: str) -> None:
        """A run is no more; if it was shown, its last pictures stay on the page and nothing is behind them."""
        if self.run == run:
            self.run = self.reader = self._watching = None
            self._hot.clear()

    # -- helpers -------------------------------------------------------------------------------------------

    @property
    def _known(self) -> bool:
        return self.run is not None and self.run in self.hub.engine.states

    @property
    def state(self) -> str:
        """The state of the shown run; ``"none"`` before the first."""
        if self.run is None or self.reader is None:
            return "none"
        live = self.hub.engine.states.get(self.run)
        return str(live.state if live is not None else self.reader.state)

    def _on_engine(self, act: Callable[[str], Future[Any]]) -> None:
        """Do something to the run, which the engine may have to take up from the library first."""
        run = self.run
        if run is None:
            self.restart()
        elif self._known:
            self.pending.add(act(run))
        else:

            def resumed(_: Any) -> None:
                self._watch()
                if self.run == run:
                    self.pending.add(act(run))

            self.pending.add(self.hub.engine.resume_run(run), resumed, self._not_resumed)

    def _not_resumed(self, error: BaseException) -> None:
        """A run of the library that cannot go on stays as it is: its knobs too."""
        self._hot.clear()
        if self.reader is not None and self.wanted is not None:
            self.wanted = self.wanted.replace(**turned(self.reader))
        self._tell(notices.from_error(error, notices.again(error, do="resume")))
        self._adopted()

    def _take_models(self, models: list[dict[str, Any]]) -> None:
        self.models = models
        self._adopted()

    def _failed(self, error: BaseException) -> None:
        self.busy = ""
        do = "restart" if self.wanted is not None else "start"
        action = {"label": "Try again", "do": do} if not isinstance(error, HistoryError) else None
        self._tell(notices.from_error(error, action))


def turned(reader: RunReader) -> dict[str, Value]:
    """The hot values of a run after all that was turned so far."""
    return Knobs(reader.spec, reader.knobs()).at(sys.maxsize)
