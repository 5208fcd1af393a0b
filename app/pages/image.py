"""The page Image: what every layer of a network makes of a picture, and what in it a unit answers to."""

from __future__ import annotations

from app.pages.networked import NetworkPage


class ImagePage(NetworkPage):
    """Pictures go by HTTP, one after the other; see ``app/static/image.js``."""

    name, title = "image", "Image"
    about = "What each channel of a layer answers to in a picture of yours, and why."
