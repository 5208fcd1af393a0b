"""The one table of keys: the handler, the help dialog and the README section are made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vizcore.spec import PRESETS


@dataclass(frozen=True)
class Key:
    """One action and the keys that do it.

    Args:
        keys: values of ``KeyboardEvent.key`` (the space bar is ``"Space"``).
        do: the intent.
        help: what it does, as the help dialog says it.
        group: heading in the help dialog.
        args: further fields of the intent.
        local: the page does it by itself, Python is not asked.
        page: where it is; empty for every page.
    """

    keys: tuple[str, ...]
    do: str
    help: str
    group: str
    args: dict[str, Any] = field(default_factory=dict)
    local: bool = False
    page: str = "ascent"

    def to_dict(self) -> dict[str, Any]:
        """The row as the page reads it."""
        return {
            "keys": list(self.keys),
            "do": self.do,
            "args": self.args,
            "help": self.help,
            "group": self.group,
            "local": self.local,
            "page": self.page,
        }


KEYS: tuple[Key, ...] = (
    Key(("Space",), "toggle", "Pause or run", "Run"),
    Key((".",), "step", "One step", "Run"),
    Key(("r",), "restart", "Restart with the same seed", "Run"),
    Key(("n",), "newseed", "Restart with a new seed", "Run"),
    Key(("+",), "further", "Go 256 steps further", "Run", {"by": 256}),
    Key(("ArrowLeft",), "back", "One kept step back", "History", local=True),
    Key(("ArrowRight",), "forward", "One kept step forward", "History", local=True),
    Key(("Shift+ArrowLeft",), "back10", "Ten kept steps back", "History", local=True),
    Key(("Shift+ArrowRight",), "forward10", "Ten kept steps forward", "History", local=True),
    Key(("Home",), "first", "First step", "History", local=True),
    Key(("End", "Escape"), "live", "Back to live", "History", local=True),
    Key(("f",), "fork", "Fork: leave from the shown step", "History", local=True),
    Key(("p",), "pin", "Pin this step to the filmstrip", "History", local=True),
    Key(("x",), "setb", "Set B: compare with the picture shown now; again to take it away", "History", local=True),
    Key(("[",), "previous", "Previous filter", "Target", local=True),
    Key(("]",), "next", "Next filter", "Target", local=True),
    Key(("{",), "layer", "Previous layer", "Target", {"by": -1}),
    Key(("}",), "layer", "Next layer", "Target", {"by": 1}),
    Key(("d",), "dice", "Other filters, at random", "Target"),
    Key(("w",), "sweep", "Sweep: the filter under many settings", "Target", local=True),
    Key(("/",), "search", "Search a layer, in the Library a run", "Target", local=True, page=""),
    *(
        Key((str(number),), "preset", f"Preset {name}", "Preset", {"name": name})
        for number, name in zip(range(1, 10), PRESETS, strict=False)  # as many as there are digits
    ),
    Key(("{",), "previousLayer", "Previous layer", "Image", local=True, page="image"),
    Key(("}",), "nextLayer", "Next layer", "Image", local=True, page="image"),
    Key(("c",), "camera", "Camera on or off", "Image", local=True, page="image"),
    Key(("v",), "playVideo", "Play or pause a video", "Image", local=True, page="image"),
    Key(("{",), "previousLayer", "Previous layer", "Weights", local=True, page="weights"),
    Key(("}",), "nextLayer", "Next layer", "Weights", local=True, page="weights"),
    Key(("{",), "previousLayer", "Previous layer", "Patches", local=True, page="patches"),
    Key(("}",), "nextLayer", "Next layer", "Patches", local=True, page="patches"),
    Key(("Space",), "pause", "Pause, or go on", "Dreams", local=True, page="dreams"),
    Key(("ArrowLeft",), "back", "Step before", "Dreams", local=True, page="dreams"),
    Key(("ArrowRight",), "forward", "Next step", "Dreams", local=True, page="dreams"),
    Key(("Home",), "first", "First step", "Dreams", local=True, page="dreams"),
    Key(("End",), "last", "The newest step", "Dreams", local=True, page="dreams"),
    Key(("r",), "anew", "Dream anew", "Dreams", local=True, page="dreams"),
    Key(("e",), "png", "Save the shown picture of the dream", "Dreams", local=True, page="dreams"),
    Key(("Space",), "pause", "Pause, or go on", "Generators", local=True, page="generators"),
    Key((".",), "once", "One step", "Generators", local=True, page="generators"),
    Key(("ArrowLeft",), "back", "Step before", "Generators", local=True, page="generators"),
    Key(("ArrowRight",), "forward", "Next step", "Generators", local=True, page="generators"),
    Key(("Home",), "first", "First step", "Generators", local=True, page="generators"),
    Key(("End",), "last", "The newest step", "Generators", local=True, page="generators"),
    Key(("[",), "previous", "Previous chain", "Generators", local=True, page="generators"),
    Key(("]",), "next", "Next chain", "Generators", local=True, page="generators"),
    Key(("r",), "anew", "Start anew", "Generators", local=True, page="generators"),
    Key(("n",), "seed", "Start anew with another seed", "Generators", local=True, page="generators"),
    Key(("f",), "fork", "Fork: leave from the shown step", "Generators", local=True, page="generators"),
    Key(("e",), "png", "Save the shown picture of the chain", "Generators", local=True, page="generators"),
    Key(("Delete",), "remove", "Throw the chosen run into the trash", "Library", local=True, page="library"),
    Key(("e",), "png", "Save the shown picture with its recipe", "Page", local=True),
    Key(("s",), "link", "Copy the link to this page", "Page", local=True, page=""),
    Key(("t",), "theme", "Dark or light", "Page", local=True, page=""),
    Key(("?",), "help", "Show the keys", "Page", local=True, page=""),
)


def table() -> list[dict[str, Any]]:
    """All rows as the page reads them."""
    return [key.to_dict() for key in KEYS]


def markdown() -> str:
    """The table for the README."""
    rows = ["| Page | Key | What it does |", "|---|---|---|"]
    for page in dict.fromkeys(key.page for key in KEYS):
        for key in (one for one in KEYS if one.page == page):
            keys = " or ".join(f"`{name}`" for name in key.keys)
            rows.append(f"| {page.capitalize() or 'all'} | {keys} | {key.help} |")
    return "\n".join(rows)
