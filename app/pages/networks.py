"""The page Networks: the same picture and method for up to four networks, at comparable depths."""

from __future__ import annotations

from app import publish
from app.pages.networked import NetworkPage


class NetworksPage(NetworkPage):
    """Each field of the table is asked for by HTTP; see ``app/static/networks.js``."""

    name, title = "networks", "Networks"
    about = "One picture through up to four networks, side by side."

    def tick(self) -> None:
        """Hand over what has come; which network is being loaded is known to the engine."""
        self.pending.tick()
        loading = next((f"{model}: {note}" for model, note in self.hub.engine.loading.items()), "")
        publish.put(self.state, "busy", publish.text(loading) if loading else "")
