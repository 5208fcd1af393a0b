"""The page Weights: kernels as pictures or matrices, and filters carried back to pixels."""

from __future__ import annotations

from app.pages.networked import NetworkPage


class WeightsPage(NetworkPage):
    """The numbers go by HTTP; see ``app/static/weights.js``."""

    name, title = "weights", "Weights"
    about = "What a network has learnt, as it is stored: the kernels of its layers."
