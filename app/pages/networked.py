"""What pages have in common that look into one network: they offer networks, and tell of the chosen one."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, ClassVar

from bokeh.core.properties import String
from bokeh.model import DataModel

from app import notices, publish, target
from app.intents import Fields, number, words
from app.pages.ascent import model_groups
from app.pages.page import Page
from app.pending import Pending
from app.permalink import Address
from vizcore.errors import VizcoreError

if TYPE_CHECKING:
    from app.session import Session


class NetworkState(DataModel):
    """What such a page says, as JSON: ``models`` to choose from, under headings, the ``network`` that is looked into,
    ``busy``: what is waited for."""

    models = String(default="")
    network = String(default="")
    busy = String(default="")


class NetworkPage(Page):
    """Tells of networks; what is seen in them goes by HTTP (``app.looking``), asked for by the script."""

    intents: ClassVar = {
        "network": lambda page, fields: page.choose(words(fields, "model")),
        "ascend": lambda page, fields: page.ascend(fields),
    }

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.state = NetworkState(name=self.name)
        self.pending = Pending(lambda error: session.tell(notices.from_error(error)))
        self._wanted = ""
        self._known: list[str] = []
        self._answers: list[Future[Any]] = []
        self._told: dict[str, Any] = {}
        self._count = 0

    def show(self, on: bool) -> None:
        """The first time, get to know a network; the script asks for nothing before."""
        if on and not self._wanted:
            query = self.session.query
            named = query.get("model", "") if query.get("page") == self.name else ""
            self._wanted = named or self.first()
            self.pending.add(self.hub.models(), self._take_models, self._refused)

    def first(self) -> str:
        """The network that is looked into where none is named."""
        return self.hub.default_model()

    def tick(self) -> None:
        """Hand over what has come."""
        self.pending.tick()
        waits = any(not answer.done() for answer in self._answers)
        note = self.hub.engine.loading.get(self._wanted, "loading the network") if waits else ""
        publish.put(self.state, "busy", publish.text(note) if note else "")

    def _take_models(self, models: list[dict[str, Any]]) -> None:
        self._known = [entry["name"] for entry in models]
        own = self.hub.default_model()
        groups = model_groups(models)
        if own not in self._known:  # a weights file
            groups = {"Of this server": [own], **groups}
        publish.put(self.state, "models", groups)
        self.choose(self._wanted)

    def choose(self, model: str) -> None:
        """Look into another network; the one before stays until it is there."""
        own = self.hub.default_model()
        try:
            self._wanted = target.check_model(model, [own, *self._known])
        except VizcoreError as error:
            self._refused(error)
            return
        described = self.hub.describe(self._wanted)
        methods = self.hub.engine.methods(self._wanted, self.hub.arch(self._wanted))
        self._answers = [described, methods]

        def known(description: Mapping[str, Any]) -> None:
            self.pending.add(methods, lambda found: self._take_network(model, description, found), self._refused)

        self.pending.add(described, known, self._refused)

    def _take_network(self, model: str, description: Mapping[str, Any], methods: list[dict[str, str]]) -> None:
        if model != self._wanted:
            return  # another one was chosen meanwhile
        card = description["card"]
        self._told = {
            "model": model,
            "title": card.get("title") or model,
            "size": card["size"],
            "grey": card["channels"] == 1,
            "classes": list(card["classes"]),
            "layer": target.showcase(description)["layer"],
            "layers": [
                {key: layer[key] for key in ("path", "kind", "channels", "height", "width")}
                for layer in description["layers"]
            ],
            "methods": methods,
        }
        self._tell()

    def ascend(self, fields: Fields) -> None:
        """Show what excites a filter, or the ``filters`` beside it: a run on the page Ascent."""
        model, layer, channel = words(fields, "model"), words(fields, "layer"), number(fields, "channel")
        if model and layer and channel is not None:
            wanted = {"model": model, "layer": layer, "filters": words(fields, "filters") or str(channel)}
            self.session.show_run_of(Address(target=wanted, filter=channel))

    def _refused(self, error: BaseException) -> None:
        """The network that is shown stays; if there is none yet, the bundled one takes its place."""
        self.session.tell(notices.from_error(error))
        if self._told:
            self._wanted = self._told["model"]
            self._tell()
        elif self._wanted != self.hub.showcase_model():
            self.choose(self.hub.showcase_model())

    def _tell(self) -> None:
        self._count += 1  # the same network again is news: the list must show it
        publish.put(self.state, "network", {**self._told, "n": self._count})
