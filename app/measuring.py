"""The ruler on the page Generators: methods are measured one after the other, and what was measured is kept here.

::

    form ─► Measuring.begin ─► engine.measure(comparison, method) ─► a row, tiles ─► the next method …
                                                                      └─► Ruled ─► GET /ruler/ID/… (app.rulers)
"""

from __future__ import annotations

import json
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vizcore
from app import notices, publish, target
from app.intents import Fields, number, words
from app.sources import EXAMPLES
from vizcore.engine import Comparison
from vizcore.errors import SpecError, VizcoreError
from vizcore.rulertable import COLUMNS, METHODS, REAL, WALKS, as_csv, table
from vizcore.spec import MAX_FILTERS, PARAMS, parse_channels
from vizcore.zoo import card as cards
from vizcore.zoo import download

if TYPE_CHECKING:
    from app.hub import Hub
    from app.pages.generators import GeneratorsPage

KEPT = 16  # measurements of the server, the newest
SEEDS, MOST = 8, 5000  # pictures of a unit, real pictures: at most
FETCHED = {"mnist": "11 MB", "cifar10": "170 MB"}  # data sets that are fetched by their name
IMAGENET = 1000  # classes: those of every network of torchvision
LARGE = 64  # px: networks of photographs, for which the bundled examples can stand
LABELS = {
    REAL: "Real", "pixel": "Pixels", "fourier": "Fourier", "maco": "MACO", "paper3": "Paper 3", "dgn-am": "DGN-AM",
    "ppgn": "PPGN",
}  # fmt: skip
HELP = {
    "pixel": "Bare pixels climb (preset Raw).", "fourier": "Fourier coefficients climb, moved at random (Crisp).",
    "maco": "Phases climb, the spectrum is fixed (MACO).", "paper3": "Pixels with blur and decay (Paper 3).",
    "dgn-am": "A generator's code climbs.", "ppgn": "A generator's code climbs, drawn to likely ones.",
}  # fmt: skip


@dataclass
class Ruled:
    """What was measured by now.

    Args:
        facts: what was asked for, in the words of ``vizcore score``.
        lengths: fields of a :class:`vizcore.rulertable.Length` each.
        tiles: WebP by method.
    """

    facts: dict[str, Any]
    lengths: list[dict[str, Any]] = field(default_factory=list)
    tiles: dict[str, bytes] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As ``vizcore score`` writes it."""
        return {**self.facts, "table": table(self.lengths), "units_table": self.lengths}

    def text(self, form: str) -> str:
        """As ``json``, ``csv`` or ``svg``."""
        if form == "csv":
            return as_csv(self.lengths)
        if form == "json":
            return json.dumps(json.loads(publish.text(self.to_dict())), indent=1) + "\n"
        from vizcore.rulerplot import plot

        facts = self.facts
        units = ", ".join(map(str, facts["units"]))
        return plot(table(self.lengths), f"{Path(facts['model']).name}, {facts['layer'] or 'classes'} {units}", COLUMNS)


class Rulers:
    """The newest measurements of the server, by ids that cannot be guessed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Ruled] = OrderedDict()

    def add(self, one: Ruled) -> str:
        """Keep it; returns its id."""
        ident = secrets.token_urlsafe(9)
        self._kept[ident] = one
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return ident

    def get(self, ident: str) -> Ruled | None:
        """None if there is none, or not any more."""
        return self._kept.get(ident)


class Measuring:
    """The measurement that one page Generators shows; what it says is the page's ``ruler``."""

    def __init__(self, page: GeneratorsPage) -> None:
        self.page, self.session, self.hub = page, page.session, page.hub
        self._count = 0
        self._job = 0
        self._work: Future[Any] | None = None
        self._queue: list[str] = []
        self._methods: list[str] = []
        self._told: dict[str, Any] = {}
        self._ruled: Ruled | None = None

    def arrive(self) -> None:
        """Show what the address names, if it is still here."""
        ident = self.session.query.get("ruler", "")
        found = self.hub.rulers.get(ident)
        if found is not None and not self._told:
            self._ruled = found
            self._tell(state="done", id=ident, error="")

    def tick(self) -> None:
        """Say how far it is."""
        if self._work is not None and not self._work.done():
            done, total = getattr(self._work, "progress", (0, 0))
            self._tell(share=round(done / total, 2) if total else 0.0)

    def begin(self, fields: Fields) -> None:
        """Measure what the form says; what was measured before stays in the server.

        Raises:
            SpecError, LayerError, ModelError, PictureError: something that cannot be.
        """
        self.stop()
        comparison, methods, notes = self._comparison(fields)
        self._methods = [*([REAL] if comparison.source else []), *methods]
        self._queue = list(self._methods)
        self._count += 1
        self._ruled = Ruled({
            "model": comparison.model, "layer": comparison.layer, "units": list(comparison.units), "dataset": "",
            "real": 0, "generator": comparison.generator, "transfer": comparison.judge, "seeds": comparison.seeds,
            "steps": comparison.steps, "notes": notes, "vizcore": vizcore.__version__,
        })  # fmt: skip
        self._told = {}
        self._tell(state="running", id=self.hub.rulers.add(self._ruled), error="", methods=self._methods)
        self._next(comparison)

    def stop(self) -> None:
        """Give it up; the methods that were measured stay."""
        self.session.jobs.cancel(self._job)

    def _comparison(self, fields: Fields) -> tuple[Comparison, list[str], list[str]]:
        page, notes = self.page, []
        model, layer = str(page.network["model"]), words(fields, "layer")
        units = parse_channels(words(fields, "targets"))
        page.check(layer, max(units))
        seeds = min(max(number(fields, "seeds") or 1, 1), SEEDS)
        if len(units) * seeds > MAX_FILTERS:
            raise SpecError(
                f"{len(units) * seeds} pictures of each method are too many.", f"Choose at most {MAX_FILTERS} of them."
            )
        given = fields.get("methods")
        asked = [name for name in METHODS if isinstance(given, Sequence) and name in given]
        generator = words(fields, "generator")
        if generator:
            page.check_generator(generator)
        methods = [name for name in asked if generator or name not in WALKS]
        if methods != asked:
            notes.append("No generator fits this network, so DGN-AM and PPGN are left out.")
        if not methods:
            raise SpecError("No method is chosen that can be measured.", "Choose one, such as Fourier.")
        judge, source = words(fields, "judge"), words(fields, "pictures").strip()
        if judge and not layer:
            target.check_model(judge, page.known)
        else:
            judge = ""
            notes.append("Only classes transfer." if layer else "No other network judges, so transfer is left out.")
        if not source:
            notes.append(
                "Without real pictures the activation is the network's own number; nearest and spectrum are left out."
            )
        steps = min(number(fields, "steps") or 0, int(PARAMS["steps"].maximum))
        most = min(max(number(fields, "most") or 500, 1), MOST)
        return Comparison(
            model, self.hub.arch(model), layer, units, generator, str(PARAMS["fit"].clamp(fields.get("fit"))), judge,
            source if source in FETCHED or not source else self.hub.sources.find(source), most, seeds, steps,
        ), methods, notes  # fmt: skip

    def _next(self, comparison: Comparison) -> None:
        """The next method of the queue."""
        ruled, count = self._ruled, self._count
        assert ruled is not None
        if not self._queue:
            self._work = None
            self._tell(state="done")
            return
        method = self._queue.pop(0)
        place = len(self._methods) - len(self._queue)
        self._tell(method=method, share=0.0)

        def then(found: Mapping[str, Any]) -> None:
            ruled.lengths += found["lengths"]
            ruled.tiles[method] = found["tiles"]
            ruled.facts |= {"dataset": found["pictures"], "real": found["real"], "side": found["side"]}
            if count == self._count:
                self._next(comparison)

        def fail(error: BaseException) -> None:
            told = notices.from_error(error)
            if count != self._count:
                return
            if ruled.lengths and isinstance(error, VizcoreError) and self._queue:  # the others may go all the same
                ruled.facts["notes"].append(f"{LABELS[method]} is left out: {told['message']}")
                self._next(comparison)
                return
            self._work, self._queue = None, []
            self._tell(state="failed", error=f"{told['message']} {told['hint']}")

        def stopped() -> None:
            if count == self._count:
                self._work, self._queue = None, []
                self._tell(state="stopped")

        self._work = self.hub.engine.measure(comparison, method)
        title = f"Measuring {LABELS[method]} ({place} of {len(self._methods)})"
        self._job = self.session.jobs.add(self._work, title, then, fail, stopped)

    def _tell(self, **news: Any) -> None:
        self._told = {**self._told, "n": self._count, **news}
        ruled = self._ruled
        if ruled is not None:
            publish.put(self.page.state, "ruler", {
                **self._told, "facts": ruled.facts, "table": table(ruled.lengths), "labels": LABELS,
            })  # fmt: skip


def offered(hub: Hub, told: Mapping[str, Any], card: Mapping[str, Any], models: Sequence[Mapping[str, Any]],
            known: Sequence[str]) -> dict[str, Any]:  # fmt: skip
    """What the form offers for a network: methods, judges, pictures and which of these it begins with.

    Args:
        told: of the network, as the page tells it; ``card``: its card.
        models: all networks (:meth:`vizcore.engine.Engine.models`).
        known: folders that were looked through before.
    """
    others = judges(told, models)
    here = [one["name"] for one in others if one["here"]]
    named = next((name for name in FETCHED if _plain(str(card.get("data", ""))).startswith(name)), "")
    folders = [name for name in hub.sources.first() if name != EXAMPLES]
    first, why = "", "No pictures of its kind are at hand: name a folder or zip of them."
    if named and _fetched(named):
        first, why = named, ""
    elif folders:
        first, why = folders[0], ""
    elif not told["grey"] and told["size"] >= LARGE:
        first, why = EXAMPLES, "The examples are few: a folder of pictures says more."
    elif named:
        why = f"No pictures of its kind are at hand: name a folder, a zip, or {named} to fetch it ({FETCHED[named]})."
    return {
        "model": told["model"],
        "methods": [{"name": name, "label": LABELS[name], "help": HELP[name], "code": name in WALKS}
                    for name in METHODS],
        "judges": others, "judge": here[0] if here else "",
        "pictures": list(dict.fromkeys(one for one in (first, named, *folders, *known, EXAMPLES) if one)),
        "first": first, "why": why, "seeds": SEEDS, "most": MOST,
    }  # fmt: skip


def judges(told: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Other networks of the same classes: ``name``, and whether its weights are ``here``."""
    own = tuple(told["classes"])
    found = []
    if len(own) == IMAGENET:
        found = [
            {"name": one["name"], "here": bool(one["on_disk"])} for one in models
            if one["source"] != "bundled" and one["classes"] == IMAGENET
        ]  # fmt: skip
    for name, folder in {**cards.bundled(), **cards.trained()}.items():
        try:
            card = cards.read(folder / cards.CARD)
        except VizcoreError:
            continue
        if own and card.classes == own and card.weights_hash != told.get("weights"):
            found.append({"name": name, "here": True})
    return [one for one in found if one["name"] != told["model"]]


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _fetched(name: str) -> bool:
    """Whether a data set was fetched before."""
    folder = download.folder().parent / "data" / name
    return folder.is_dir() and any(folder.iterdir())
