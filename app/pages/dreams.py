"""The page Dreams: a picture or noise is pushed, live, towards what a layer sees in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from bokeh.core.properties import String

from app import notices, publish
from app.intents import Fields, number, words
from app.pages.networked import NetworkState
from app.pages.running import RunningPage
from vizcore.dreamspec import DEFAULTS, STEPS, dream, octave_of
from vizcore.errors import SpecError, VizcoreError
from vizcore.params import Param, Value
from vizcore.runs import is_id
from vizcore.spec import PARAMS, RunSpec, to_dict

if TYPE_CHECKING:
    from app.session import Session

KNOBS = ("octaves", "octave_scale", "side", "rate", "jitter", "seed", "tile", "zoom_frames", "zoom", "zoom_steps")
HOT = tuple(name for name in KNOBS if PARAMS[name].hot)
OBJECTIVES = ("layer", "channel", "guide", "caricature", "invert")


class DreamsState(NetworkState):
    """Also the ``fields`` of the form, and the ``run`` that is shown."""

    fields = String(default="")
    run = String(default="")


class DreamsPage(RunningPage):
    """Begins dreams and tells how they go; pictures go by HTTP, asked for by the script."""

    name, title = "dreams", "Dreams"
    about = "A picture is pushed, live, towards what a layer already sees in it (DeepDream)."
    knobs: ClassVar = (*HOT, "steps")
    intents: ClassVar = {
        **RunningPage.intents,
        "begin": lambda page, fields: page.begin(fields),
    }

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        fields = {"knobs": [_field(PARAMS[name]) for name in KNOBS], "steps": STEPS, "objectives": list(OBJECTIVES)}
        self.state = DreamsState(name=self.name, fields=publish.text(fields))
        self._opened = 0  # number of the last opening

    # -- life ----------------------------------------------------------------------------------------------

    def first(self) -> str:
        """That of the dream that is shown, else the server's."""
        return self.hub.reader(self.run).spec.model if self.run else super().first()

    def show(self, on: bool) -> None:
        """The first time, show the dream of the address."""
        query = self.session.query
        if on and not self._wanted and query.get("page") == self.name and is_id(query.get("run", "")):
            self.open(query["run"])
        super().show(on)

    def told_of(self, run: str) -> dict[str, Any]:
        reader, live = self.hub.reader(run), self.hub.engine.states.get(run)
        spec, latest = reader.spec, reader.latest()
        steps = int(live.steps) if live is not None else spec.steps
        return {
            "id": run, "spec": to_dict(spec), "revision": reader.revision, "kept": publish.ranges(reader.steps()),
            "latest": latest, "steps": steps, "state": live.state if live is not None else reader.state,
            "rate": round(live.rate, 1) if live is not None else 0.0,
            "octave": octave_of(spec, latest) + 1 if latest is not None else 0,
            "error": live.error if live is not None else None, "opened": self._opened,
        }  # fmt: skip

    # -- what a person does --------------------------------------------------------------------------------

    def begin(self, fields: Fields) -> None:
        """Dream anew; the dream before is kept, and pauses."""
        if not self._told:
            return  # the network is not known yet: the script asks again when it is
        try:
            self._start(self._spec(fields))
        except VizcoreError as error:
            self.session.tell(notices.from_error(error))

    def _spec(self, fields: Fields) -> RunSpec:
        model, objective = str(self._told["model"]), words(fields, "objective") or "layer"
        if objective not in OBJECTIVES:
            raise SpecError("There is no such dream.", f"Use one of {', '.join(OBJECTIVES)}.")
        given = fields.get("values")
        values: dict[str, Value] = {
            name: PARAMS[name].clamp(given[name]) for name in KNOBS if isinstance(given, Mapping) and name in given
        }
        values["octaves"] = max(1, int(values.get("octaves", DEFAULTS["octaves"])))
        steps = number(fields, "steps") or STEPS
        return dream(
            model, words(fields, "layer"), (number(fields, "channel") or 0,), objective, self.hub.arch(model), steps,
            **values, source=words(fields, "source"), picture=words(fields, "picture"),
        )  # fmt: skip

    def open(self, run: str) -> None:
        """Show a dream of the library, as far as it went."""
        try:
            spec = self.hub.reader(run).spec
            if not spec.octaves:
                raise SpecError("This run is no dream.", "Open it on the page Ascent.")
        except VizcoreError as error:
            self.session.tell(notices.from_error(error))
            return
        self._wishes += 1
        if self.run and self.run != run:
            self._watch(self.run, False)
        self.run, self._opened = run, self._wishes
        if self._wanted and self._wanted != spec.model:
            self.choose(spec.model)
        publish.put(self.state, "run", self.told_of(run))


def _field(meta: Param) -> dict[str, Any]:
    """What the script makes a control of."""
    default = DEFAULTS.get(meta.name, meta.default)
    return {
        "name": meta.name, "label": meta.label, "unit": meta.unit, "help": meta.help, "min": meta.minimum,
        "max": meta.maximum, "step": meta.step, "default": default, "hot": meta.hot, "log": meta.log,
    }  # fmt: skip
