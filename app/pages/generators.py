"""The page Generators: codes of a generator walk, live, towards classes or units of a network."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from bokeh.core.properties import String

from app import chains, notices, publish
from app.intents import Fields, number, words
from app.measuring import Measuring, offered
from app.pages.networked import NetworkState
from app.pages.running import RunningPage
from app.permalink import Place, decode, encode
from vizcore.errors import GeneratorError, SpecError, VizcoreError
from vizcore.generate import shelf
from vizcore.generate.spec import VARIANTS
from vizcore.params import Value
from vizcore.runs import is_id
from vizcore.spec import HOT, MAX_FILTERS, PARAMS, Knobs, RunSpec, build, parse_channels

if TYPE_CHECKING:
    from app.session import Session

KNOBS = (
    "rate", "rate_end", "eps1", "eps2", "eps3", "eps4", "gradient", "decay", "box", "box_low", "box_high", "reset",
    "jitter", "noise", "tv",
)  # fmt: skip
COLD = ("seed", "codes", "spread", "normalize", "fit")
FURTHER = 100  # steps
OFTEN = 0.3  # seconds from one telling of curves to the next, at least


class GeneratorsState(NetworkState):
    """Also the ``fields`` of the form, the ``generators`` at hand, the ``run`` that is shown, and its ``curves``;
    what the ruler's form ``offers``, and what the ``ruler`` measured."""

    fields = String(default="")
    generators = String(default="")
    run = String(default="")
    curves = String(default="")
    offers = String(default="")
    ruler = String(default="")


class GeneratorsPage(RunningPage):
    """Begins walks and tells how they go; pictures go by HTTP, asked for by the script."""

    name, title = "generators", "Generators"
    about = "A deep generator paints what a class or unit looks for, while its code walks."
    knobs: ClassVar = HOT
    intents: ClassVar = {
        **RunningPage.intents,
        "begin": lambda page, fields: page.begin(fields),
        "once": lambda page, fields: page.step(),
        "further": lambda page, fields: page.further(),
        "fork": lambda page, fields: page.fork(number(fields, "step"), reseed=fields.get("reseed") is True),
        "measure": lambda page, fields: page.measure(fields),
        "stop": lambda page, fields: page.measuring.stop(),
    }

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.state = GeneratorsState(name=self.name, fields=publish.text(chains.form(KNOBS, COLD)))
        self._shelf: list[shelf.Entry] = []
        self._drawn: tuple[str, int, str] | None = None
        self._told_at = 0.0
        self._opened: dict[str, Any] | None = None  # where a run is to be shown that was opened
        self.measuring = Measuring(self)
        self._models: list[dict[str, Any]] = []
        self._card: Mapping[str, Any] = {}
        self._folders: list[str] = []

    # -- life ----------------------------------------------------------------------------------------------

    def first(self) -> str:
        """That of the run that is shown, the server's if a generator fits it, or one that a generator was made for."""
        if self.run:
            return self.hub.reader(self.run).spec.model
        own, made_for = str(self.hub.default_model()), [entry.network for entry in self._shelf]
        return own if own in made_for or not made_for else "digits" if "digits" in made_for else made_for[0]

    def show(self, on: bool) -> None:
        """Look which generators there are; the first time, show what the address asks for."""
        if on:
            self._look()
            if not self._wanted:
                self._arrive()
                self.measuring.arrive()
            self.pending.add(self.hub.engine.known(), self._take_folders)
        super().show(on)

    def _look(self) -> None:
        """Which generators are there, bundled, and own ones beside the runs."""
        self._shelf = shelf.entries(self.hub.library.home)
        publish.put(self.state, "generators", [entry.to_dict() for entry in self._shelf])

    def _arrive(self) -> None:
        """What the address asks for: a run of the library, else what it says of it."""
        query = self.session.query
        if query.get("page") != self.name:
            return
        address = decode(query)
        if is_id(query.get("run", "")):
            try:
                self.hub.reader(query["run"])
            except VizcoreError as error:
                if not address.target.get("filters"):
                    self.session.tell(notices.from_error(error))
            else:
                self.open(Place(query["run"], address.filter, address.step))
                return
        if address.target.get("filters"):
            try:
                spec = address.spec(layer="")
                if spec.parameterization != "generator":
                    raise SpecError("The address is not of a generator's codes.", "Open it on the page Ascent.")
                self._start(spec)  # the network of the address is the one that is looked into
            except VizcoreError as error:
                self.session.tell(notices.from_error(error))

    def tick(self) -> None:
        before = self.run
        super().tick()
        self.measuring.tick()
        if before and not self.run:
            publish.put(self.state, "curves", "")

    def told_of(self, run: str) -> dict[str, Any]:
        reader, live = self.hub.reader(run), self.hub.engine.states.get(run)
        told = chains.told(run, reader, live) | {"address": encode(reader.spec, run), "open": self._opened}
        now, key = self.session.clock(), (run, reader.version, told["state"])
        if key != self._drawn and (now - self._told_at > OFTEN or told["state"] != "running"):
            self._drawn, self._told_at = key, now
            publish.put(self.state, "curves", {"run": run, **chains.curves(reader, told["state"] == "done")})
        return told

    # -- the ruler -------------------------------------------------------------------------------------------

    @property
    def network(self) -> Mapping[str, Any]:
        """What is told of the network that is looked into; empty before it is known."""
        return self._told

    @property
    def known(self) -> list[str]:
        """The networks that may be named."""
        return [self.hub.default_model(), *self._known]

    def _take_models(self, models: list[dict[str, Any]]) -> None:
        self._models = models
        super()._take_models(models)

    def _take_network(self, model: str, description: Mapping[str, Any], methods: list[dict[str, str]]) -> None:
        if model == self._wanted:
            self._card = description["card"]
        super()._take_network(model, description, methods)

    def _take_folders(self, rows: list[dict[str, Any]]) -> None:
        self._folders = [name for row in rows if not row["only"] and (name := self.hub.sources.name(row["source"]))]
        self._offer()

    def _tell(self) -> None:
        super()._tell()
        self._offer()

    def _offer(self) -> None:
        if self._told:
            publish.put(self.state, "offers", offered(self.hub, self._told, self._card, self._models, self._folders))

    def measure(self, fields: Fields) -> None:
        """Hold the pictures of several methods to one ruler; raises what cannot be."""
        if self._told:
            self.measuring.begin(fields)

    def check_generator(self, name: str) -> None:
        """Raises :class:`GeneratorError` for one that is not at hand."""
        if name not in [entry.name for entry in self._shelf]:
            raise GeneratorError(f"There is no generator {name[:60]!r}.", "Choose one from the list.")

    # -- what a person does --------------------------------------------------------------------------------

    def begin(self, fields: Fields) -> None:
        """Start anew; the run before is kept, and pauses."""
        if not self._told:
            return  # the network is not known yet: the script asks again when it is
        try:
            self._start(self._spec(fields))
        except VizcoreError as error:
            self.session.tell(notices.from_error(error))

    def _spec(self, fields: Fields) -> RunSpec:
        model, variant, name = str(self._told["model"]), words(fields, "variant"), words(fields, "generator")
        if variant not in VARIANTS:
            raise SpecError("There is no such method.", f"Use one of {', '.join(VARIANTS)}.")
        if name:
            self.check_generator(name)
        layer, each = words(fields, "layer"), int(PARAMS["chains"].clamp(fields.get("chains")))
        targets = parse_channels(words(fields, "targets"))
        if len(targets) * each > MAX_FILTERS:
            raise SpecError(
                f"{len(targets) * each} chains are too many for one run.", f"Choose at most {MAX_FILTERS} of them."
            )
        self.check(layer, max(targets))
        rows = [target * each + chain for target in targets for chain in range(each)]
        given = fields.get("values")
        values: dict[str, Value] = {
            key: PARAMS[key].clamp(given[key])
            for key in ("steps", *KNOBS, *COLD)
            if isinstance(given, Mapping) and key in given
        }
        return build(
            model, layer, rows, variant, self.hub.arch(model), "channel" if layer else "class", chains=each,
            size=PARAMS["size"].clamp(self._told["size"]), generator=name, source=words(fields, "source"),
            mask=words(fields, "mask"), **values,
        )  # fmt: skip

    def check(self, layer: str, highest: int) -> None:
        """Raises :class:`SpecError` for a class or a unit that the network has not."""
        if not layer:
            count, what = len(self._told["classes"]), "class"
        else:
            paths = {entry["path"]: entry["channels"] for entry in self._told["layers"]}
            count, what = paths.get(layer, 0), "filter"
        if highest >= count:
            where = f"The layer {layer}" if layer else "The network"
            raise SpecError(
                f"{where} has no {what} {highest}.", f"Use 0 to {count - 1}." if count else "Choose another layer."
            )

    def step(self) -> None:
        """One step of a run that is paused."""
        if self.run:
            self.pending.add(self.hub.engine.step(self.run))

    def further(self) -> None:
        """More steps of a run that is done, also of one of the library."""
        if not self.run:
            return
        engine, run = self.hub.engine, self.run
        reader = self.hub.reader(run)
        steps = int(Knobs(reader.spec, reader.knobs()).at(2**62)["steps"]) + FURTHER

        def turn(_: object = None) -> None:
            self.pending.add(engine.knob(run, "steps", PARAMS["steps"].clamp(steps)), lambda _: self._watch(run, True))

        if engine.states.get(run) is not None:
            turn()
        else:
            self.pending.add(engine.resume_run(run), turn)

    def fork(self, step: int | None, *, reseed: bool = False) -> None:
        """Leave the shown run before the update of ``step``, with the knobs as they stand now."""
        if not self.run or step is None:
            return
        reader = self.hub.reader(self.run)
        knobs = Knobs(reader.spec, reader.knobs())
        then, now = knobs.at(step), knobs.at(2**62)
        turned = {name: value for name, value in now.items() if then[name] != value}
        self._wishes += 1
        wish = self._wishes
        job = self.hub.engine.fork(self.run, step, knobs=turned, seed=secrets.randbelow(10_000) if reseed else None)
        self.session.jobs.add(job, f"Leaving at step {step}", lambda run: self._begun(run, wish))

    def open(self, place: Place) -> None:
        """Show a run of the library, as far as it went."""
        try:
            reader = self.hub.reader(place.run)
            if reader.spec.parameterization != "generator" or reader.spec.octaves:
                raise SpecError("This run is not of a generator's codes.", "Open it on the page Ascent.")
            told = self.told_of(place.run)
        except VizcoreError as error:
            self.session.tell(notices.from_error(error))
            return
        self._wishes += 1
        if self.run and self.run != place.run:
            self._watch(self.run, False)
        self.run = place.run
        if self._wanted and self._wanted != reader.spec.model:
            self.choose(reader.spec.model)
        if self._seen:
            self._watch(self.run, True)
        self._opened = {"step": place.step, "filter": place.filter, "n": self._wishes}
        publish.put(self.state, "run", told | {"open": self._opened})
