"""The page Weights: kernels as pictures or matrices, and filters carried back to pixels."""

from __future__ import annotations

from typing import ClassVar

from app.intents import Fields, number, words
from app.pages.networked import NetworkPage
from app.permalink import Address


class WeightsPage(NetworkPage):
    """The numbers go by HTTP; see ``app/static/weights.js``."""

    name, title = "weights", "Weights"
    intents: ClassVar = {**NetworkPage.intents, "ascend": lambda page, fields: page.ascend(fields)}

    def ascend(self, fields: Fields) -> None:
        """Show what excites a filter: a run of it on the page Ascent."""
        model, layer, channel = words(fields, "model"), words(fields, "layer"), number(fields, "channel")
        if model and layer and channel is not None:
            target = {"model": model, "layer": layer, "filters": str(channel)}
            self.session.show_run_of(Address(target=target, filter=channel))
