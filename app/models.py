"""The Bokeh models that carry state between the page and Python (see docs of the properties)."""

from __future__ import annotations

from bokeh.core.properties import Int, String
from bokeh.model import DataModel


class Flow(DataModel):
    """Credit of the picture stream: the number of the last update that the page has painted."""

    ack = Int(default=0)


class Ask(DataModel):
    """What the page asks of Python: one intent as JSON, with a growing number so that repeats are changes."""

    intent = String(default="")


class Frame(DataModel):
    """What belongs to no page, each as JSON, empty for none: notice, work that is going on, a file that is ready to be
    fetched, the page that is to be shown, the table of keys."""

    notice = String(default="")
    fetch = String(default="")
    lead = String(default="")
    jobs = String(default="")
    keys = String(default="")


class State(DataModel):
    """What the page Ascent shows besides pictures; each text is JSON (``address``: a query string), empty for none."""

    run = String(default="")
    status = String(default="")
    kept = String(default="")
    evidence = String(default="")
    real = String(default="")
    natural = String(default="")
    shown = String(default="")
    presets = String(default="")
    address = String(default="")
    family = String(default="")
    pins = String(default="")
    against = String(default="")
    sweep = String(default="")


def texts(model: DataModel) -> list[str]:
    """The names of a model's own properties, all of them texts for its script."""
    return [name for name in model.properties() if name not in DataModel.properties()]
