"""The page Training: a network learns, and its filters with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bokeh.core.properties import String
from bokeh.model import DataModel

from app import notices, publish
from app.intents import Fields, number, words
from app.pages.page import Page
from app.pending import Pending
from vizcore.errors import SpecError
from vizcore.train import orders
from vizcore.train.recipe import OPTIMIZERS

if TYPE_CHECKING:
    from app.session import Session

NAMED = ("efl", "mnist", "svhn", "fer2013", "cifar10")
ACTIVATIONS = ("relu", "leakyrelu", "elu", "prelu")
NUMBERS = ("epochs", "lr", "batch_size", "seed")
PERIOD = 8  # ticks between two looks: four in a second


class TrainingState(DataModel):
    """What the page says, as JSON: the ``form``'s choices, the ``run`` (small, often), ``curves`` and ``results``."""

    form = String(default="")
    run = String(default="")
    curves = String(default="")
    results = String(default="")


class TrainingPage(Page):
    """Starts, pauses and ends the server's one training (``app.training``); its pictures come by HTTP."""

    name, title = "training", "Training"
    about = "A network learns, and its filters are drawn again and again while it does."
    intents: ClassVar = {
        "train": lambda page, fields: page.train(fields),
        "pause": lambda page, fields: page.hub.trainer.say("pause"),
        "go": lambda page, fields: page.hub.trainer.say("go"),
        "stop": lambda page, fields: page.hub.trainer.say("stop"),
        "resume": lambda page, fields: page.resume(),
    }

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.state = TrainingState(name=self.name)
        self.pending = Pending(lambda error: session.tell(notices.from_error(error)))
        self._version = -1
        self._ticks = 0
        self._told_error: Any = None

    def show(self, on: bool) -> None:
        """The training goes on behind other pages; only the telling rests."""
        if on and not self.state.form:
            defaults = {name: _usual(name) for name in (*NAMED, "")}
            form = {"named": NAMED, "activations": ACTIVATIONS, "optimizers": OPTIMIZERS, "defaults": defaults}
            publish.put(self.state, "form", form)

    def tick(self) -> None:
        """Tell what is new, four times a second at most."""
        self.pending.tick()
        self._ticks += 1
        trainer = self.hub.trainer
        if self._ticks % PERIOD or trainer.version == self._version:
            return
        self._version = trainer.version
        told = trainer.told()
        order = told.get("order") or {}
        run = {
            key: told.get(key)
            for key in ("id", "state", "about", "now", "failed", "notes", "filters", "error", "facts", "reading")
        }
        run["dataset"] = orders.named(orders.Order(order["dataset"])) if order else ""
        publish.put(self.state, "run", run)
        publish.put(self.state, "curves", {"steps": told.get("steps", []), "epochs": told.get("epochs", [])})
        results = {"id": told["id"], "confusion": told.get("confusion", []), "mistakes": told.get("mistakes", [])}
        publish.put(self.state, "results", results)
        if told["state"] == "failed" and told["error"] != self._told_error:
            self._told_error = told["error"]
            self.session.tell(notices.notice("error", told["error"]["message"], told["error"]["hint"]))

    def train(self, fields: Fields) -> None:
        """Start what the form says.

        Raises:
            SpecError, PictureError, TrainingError: it cannot be.
        """
        name, place = words(fields, "dataset"), words(fields, "data").strip()
        if name not in (*NAMED, ""):
            raise SpecError("There is no such data set.", "Choose one of the list.")
        path = self.hub.sources.find(place) if place or not name else ""
        given: dict[str, Any] = {"data": path or None} if name else {}
        options: dict[str, Any] = {}
        for key in ("filters", "units"):
            if words(fields, key).strip():
                options[key] = orders.numbers(words(fields, key), key)
        if words(fields, "activation"):
            options["activation"] = words(fields, "activation")
        if words(fields, "augment").strip():
            given["augment"] = words(fields, "augment")
        recipe = {key: words(fields, key) for key in (*NUMBERS, "optimizer") if words(fields, key).strip()}
        given["title"] = f"{name or Path(path).stem}, {time.strftime('%H:%M')}"
        order = orders.order(name or path, recipe, options=options or None, **given)
        self.hub.trainer.start(order, max(1, number(fields, "every") or 50))
        self._version = -1

    def resume(self) -> None:
        """Go on after the last epoch."""
        self.hub.trainer.resume()
        self._version = -1


def _usual(dataset: str) -> dict[str, Any]:
    """What is used for a data set if the form says nothing else."""
    order = orders.order(dataset, {})
    recipe = {key: getattr(order.recipe, key) for key in (*NUMBERS, "optimizer")}
    return {"arch": order.arch, "augment": order.augment, **recipe}
