"""The page Ascent: joins the models that the browser sees to the pilot of its run."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bokeh.models import CustomJS

from app import notices, publish, target
from app.controls import Controls
from app.curves import Curves
from app.disk import Disk
from app.evidence import Evidence
from app.models import State
from app.naturals import Naturals
from app.pages.ascent_intents import INTENTS
from app.pages.page import Page
from app.permalink import Address, Place, decode, encode, pack, unpack
from app.pilot import ACTIVE, Pilot
from app.stream import Stream
from app.sweeps import Sweeps
from app.travels import Travels
from vizcore.errors import VizcoreError, from_dict
from vizcore.export import Recipe
from vizcore.history import RunReader
from vizcore.spec import HOT, PARAMS, PRESETS, RunSpec, format_channels
from vizcore.zoo.card import trained

if TYPE_CHECKING:
    from app.session import Session

SLOW = 0.3  # seconds between two looks at what is not pictures
CHUNK = 1000  # steps of scores that are read at once: of 64 filters, some milliseconds
CURVES = 1.0  # seconds between two drawings of the curves of a run that runs: a message of a hundred parts
SHARE = 20  # drawing the curves takes at most one part in so many of the time


class Ascent(Page):
    """Filters that ascend, live, and their history.  Nothing is asked of the engine before the page is seen."""

    name, title = "ascent", "Ascent"
    about = "Pictures that excite filters most, drawn live by gradient ascent; every step is kept."
    intents = INTENTS

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        hub, clock = session.hub, session.clock
        self.address = decode(session.query)
        self.state = State(name="ascent", presets=publish.text(list(PRESETS)))
        self.stream = Stream(clock)
        self.curves = Curves()
        self.controls = Controls(self._control)
        self.pilot = Pilot(hub, f"page-{secrets.token_hex(4)}", self.tell, self._adopted, clock)
        self.evidence = Evidence(lambda run, step, channel: hub.engine.evidence(run, step, channel), clock)
        self.naturals = Naturals(self, clock)
        self.travels = Travels(self)
        self.sweeps = Sweeps(self, clock)
        self.disk = Disk(hub.library_use, self.tell, self._take_back, clock)
        self.models = {
            "live": self.stream.live, "flow": self.stream.flow, "scores": self.curves.scores,
            "marks": self.curves.marks, "cursor": self.curves.cursor, "figure": self.curves.figure,
        }  # fmt: skip
        self.roots = (self.controls.root, self.curves.figure)
        self.selected: int | None = None
        self.shown: int | None = None  # the step that is looked at; None is live
        self._clock = clock
        self._place = Address()  # what is looked at first, once its run is there
        self._on_show: str | None = None
        self._started = self._keep_notice = False
        self._notice = 0  # id of the last one of this page
        self._complained: tuple[str, str] | None = None
        self._slow_due = self._draw_due = 0.0
        self._told = ""  # the state that the page knows
        self._knobs = 0
        self._version: tuple[str, int] | None = None  # of the run file, when it was last looked at
        self._revision: int | None = None  # of its pictures
        # A page without its script still acknowledges.
        live, flow = self.stream.live, self.stream.flow
        live.js_on_change("data", CustomJS(args={"live": live, "flow": flow}, code="""
            if (window.vizcore?.update) window.vizcore.update(live, flow)
            else requestAnimationFrame(() => requestAnimationFrame(() => { flow.ack = live.get_column("sent")[0] }))
        """))  # fmt: skip

    # -- life ----------------------------------------------------------------------------------------------

    def show(self, on: bool) -> None:
        """Seen from now on, or hidden: then the run rests and no picture is sent."""
        self.pilot.view(on)
        self.sweeps.watch(on)
        self.stream.open() if on else self.stream.gate.shut()
        self.naturals.again(anyhow=False)
        if on and not self._started:
            self._started = True
            self._place = self.address
            self.pilot.start(self.address, autostart=self.address.autostart and not self.session.reduced)
            if self.address.odd:
                said = " and ".join(self.address.odd)
                told = notices.notice("info", f"The address has {said}, which is no number.", "It is left out.")
                self.tell({**told, "keep": True})
            if self.address.against is not None:
                self.travels.compare(self.address.against)

    def theme(self, name: str) -> None:
        """Colours of the figure."""
        self.curves.theme(name)

    def close(self) -> None:
        """The browser is gone, perhaps for good; no Bokeh call is made."""
        self.pilot.close()
        self.sweeps.drop()
        self.stream.gate.shut()

    def tick(self) -> None:
        """Everything that happens by itself."""
        self.pilot.tick()
        self.travels.tick()
        self.naturals.tick()
        self.sweeps.tick()
        try:
            self._show(self._clock())
        except VizcoreError as error:  # the run file went bad under us: the last picture stays
            self.tell(notices.from_error(error))
            self.pilot.reader = None

    # -- what is shown -------------------------------------------------------------------------------------

    def _show(self, now: float) -> None:
        run, reader = self.pilot.run, self.pilot.reader
        if run is not None and reader is not None:
            self.stream.push(run, reader)
            self._believe(run, reader)
        if now < self._slow_due and self.pilot.state == self._told:
            return
        self._told = self.pilot.state  # a pause is seen at once
        self._slow_due = now + SLOW
        self._publish_status()
        if run is not None and reader is not None and self._version != (run, reader.version):
            self._version = (run, reader.version)
            self._publish_history(run, reader)
        if now >= self._draw_due or self.pilot.state not in ACTIVE:
            began = self._clock()
            self.curves.draw()
            self._draw_due = now + max(CURVES, SHARE * (self._clock() - began))

    def _publish_history(self, run: str, reader: RunReader) -> None:
        """Scores, kept steps and knobs, when the run file has grown."""
        self._follow(run, reader)
        kept = publish.kept(run, reader)
        if self._revision not in (None, kept["revision"]):  # steps were made anew
            self.curves.void()
            self.evidence.clear()
            self.stream.forget()
        self._revision = kept["revision"]
        self.travels.changed(reader)
        steps, scores, _ = reader.scores(self.curves.last, CHUNK)
        self.curves.add(steps, scores)
        if len(steps) == CHUNK:
            self._version = None  # there is more to read
        if publish.put(self.state, "kept", kept):
            self.curves.mark([(step, label) for step, _, _, label in kept["knobs"]])

    def _believe(self, run: str, reader: RunReader) -> None:
        """Evidence for the picture that is looked at."""
        step = self.shown if self.shown is not None else reader.latest()
        if step is not None and self.selected is not None:
            live = self.shown is None and self.pilot.state in ACTIVE
            self.evidence.want(run, step, self.selected, live=live)
            if not live:
                self.naturals.want(run, step, self.selected)
        if self.evidence.tick():
            publish.put(self.state, "evidence", self.evidence.state)

    def _publish_status(self) -> None:
        run, wanted = self.pilot.run, self.pilot.wanted
        live = self.hub.engine.states.get(run) if run is not None else None
        steps = int(wanted.steps) if wanted is not None else 0
        busy = next(iter(self.hub.engine.loading.values()), self.pilot.busy) if self.pilot.busy else ""
        disk = self.disk.look(run, self.pilot.reader, live.note if live is not None else "")
        publish.put(self.state, "status", {**publish.status(run, self.pilot.reader, live, busy, steps), "disk": disk})
        if live is not None and live.error and (live.run, live.error["message"]) != self._complained:
            self._complained = (live.run, live.error["message"])
            self.tell(notices.from_error(from_dict(live.error), {"label": "Try again", "do": "restart"}))

    def _follow(self, run: str, reader: RunReader) -> None:
        """Knobs that another page turned on the same run move here too."""
        log = reader.knobs()
        if len(log) > self._knobs and self.pilot.wanted is not None:
            turns = [(name, value) for _, name, value in log[self._knobs :] if name in HOT]
            self._knobs = len(log)
            if self.pilot.follow(turns):
                self._show_controls()
            else:
                self._put_address()  # which tells the turns, too

    def _adopted(self) -> None:
        """Another run is shown, or more is known about it."""
        wanted, run = self.pilot.wanted, self.pilot.run
        self.controls.offer_models(model_groups(self.pilot.models))
        if wanted is None:
            return
        description = self.pilot.description
        if description is not None:
            self.controls.offer_layers([layer["path"] for layer in description["layers"]])
        self._show_controls()
        reader = self.pilot.reader
        spec = reader.spec if reader is not None else wanted
        if run != self._on_show:
            self._on_show = run
            self._knobs = len(reader.knobs()) if reader is not None else 0
            self._look(run, spec)
            self.curves.show(spec.channels, self.selected)
            self.evidence.clear()
            self.stream.forget()
            publish.put(self.state, "kept", "")
            publish.put(self.state, "evidence", "")
            self._clear_notice()
            self._version = self._revision = None
            self._slow_due = self._draw_due = 0.0
            publish.put(self.state, "shown", "")  # the same place in another run is told again
        parent = reader.meta.get("parent") if reader is not None else None
        root = reader.root if reader is not None else 0
        publish.put(self.state, "run", publish.run(run, spec, description, parent, root))
        publish.put(self.state, "shown", {"channel": self.selected, "step": self.shown})

    def _look(self, run: str | None, spec: RunSpec) -> None:
        """Choose step and filter of a run that was not shown before: those of the address, else live and the same."""
        place, self._place = self._place, Address()
        self.shown = place.step if place.run == run else None
        if place.run in (run, None) and place.filter in spec.channels:
            self.selected = place.filter
        elif self.selected not in spec.channels:
            self.selected = spec.channels[0]

    def _show_controls(self) -> None:
        wanted = self.pilot.wanted
        if wanted is None:
            return
        self.controls.show(
            preset=wanted.preset, model=wanted.model, layer=wanted.layer, objective=wanted.objective,
            filters=format_channels(wanted.channels),
        )  # fmt: skip
        self.controls.show_values({name: getattr(wanted, name) for name in PARAMS})
        self._put_address()

    def _put_address(self) -> None:
        pilot = self.pilot
        if pilot.wanted is not None:
            past = pack(pilot.reader) if pilot.reader is not None else ""
            publish.put(self.state, "address", encode(pilot.wanted, pilot.run) + (f"&past={past}" if past else ""))

    # -- what is asked -------------------------------------------------------------------------------------

    def tell(self, notice: Mapping[str, Any]) -> None:
        """Show a notice."""
        self._keep_notice, self._notice = bool(notice.get("keep")), self.session.tell(notice)

    def complain(self, error: BaseException) -> None:
        """Show what went wrong."""
        self.tell(notices.from_error(error))

    def _clear_notice(self) -> None:
        """A new run answers the complaint about the one before, but not that it is another than was asked for."""
        if not self._keep_notice:
            self.session.hush(self._notice)
        self._keep_notice = False

    def _take_back(self, ident: int) -> None:
        """What a notice says is true no more."""
        self.session.tell({"id": ident, "kind": "gone"})

    def undo(self) -> None:
        """The controls say again what is shown."""
        self._show_controls()

    def open(self, place: Place) -> None:
        """Show a run of the library, at a step and a filter of it.

        Raises:
            HistoryError: unknown or damaged.
        """
        self._place = Address(run=place.run, step=place.step, filter=place.filter)
        self.pilot.open(place.run)

    def aim(self, address: Address) -> None:
        """Begin a run of what an address names, at once or as soon as the page is seen for the first time."""
        if self._started:
            self._place = address
            self.pilot.begin_address(address)
        else:
            self.address = address

    def start(self, address: Address) -> None:
        """Begin what the address describes: the run that it names once more, or what its values say."""
        if address.run is not None and address.past:
            self.repeat(unpack(address.past))
        else:
            self.pilot.begin_address(address)

    def repeat(self, recipe: Recipe) -> None:
        """Make a run again from its recipe."""
        self.pilot.repeat(recipe, self.travels.repeat)

    def look_again(self) -> None:
        """The run file has other pictures, perhaps those of an ancestor."""
        self._version = None
        publish.put(self.state, "kept", "")  # told again even if it is what was told before

    def select(self, channel: int) -> None:
        """Another filter is looked at closely."""
        if self.pilot.reader is not None and channel in self.pilot.reader.spec.channels:
            self.selected = channel
            self.curves.select(channel)
            publish.put(self.state, "shown", {"channel": self.selected, "step": self.shown})

    def scrub(self, step: int | None, channel: int | None = None) -> None:
        """Another step is looked at; None is live."""
        self.shown = step
        if channel is not None and channel != self.selected:
            self.select(channel)

    def _control(self, name: str, value: Any) -> None:
        if name in PARAMS:
            self.pilot.set(name, value)
            self._put_address()
        elif name == "dice":
            self.dice()
        else:
            self.pilot.ask(name, value)

    def dice(self) -> None:
        """Other filters at random."""
        wanted, description = self.pilot.wanted, self.pilot.description
        if wanted is None or description is None:
            return
        try:
            self.pilot.ask("filters", target.dice(wanted, description))
        except VizcoreError as error:
            self.tell(notices.from_error(error))


def model_groups(models: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Names of networks under headings: shipped, at hand, to be fetched."""
    groups: dict[str, list[str]] = {
        "Trained here": list(trained()),
        "Bundled": [],
        "On this disk": [],
        "Fetched when chosen": [],
    }
    for entry in models:
        elsewhere = "On this disk" if entry["on_disk"] else "Fetched when chosen"
        groups["Bundled" if entry["source"] == "bundled" else elsewhere].append(entry["name"])
    return {heading: names for heading, names in groups.items() if names}
