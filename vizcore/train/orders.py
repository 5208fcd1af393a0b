"""An order: all that one training takes, as the command line and the page give it, and its defaults by data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vizcore.errors import SpecError
from vizcore.train import changes
from vizcore.train import recipe as recipes
from vizcore.train.recipe import Recipe

DEFAULTS: dict[str, dict[str, Any]] = {
    "efl": {
        "arch": "mlp", "options": {"units": [2], "bias": False}, "restarts": 30, "until": 0.99,
        "recipe": {"optimizer": "adam", "lr": 1e-2, "epochs": 15, "batch_size": 64, "schedule": "constant",
                   "weight_decay": 0.0},
    },
    "mnist": {"augment": "shift:2", "options": {"filters": [16, 32], "kernel": 5, "units": [64], "grid": 7},
              "recipe": {"epochs": 6, "average": 0.998}},
    "svhn": {"augment": "shift:2", "recipe": {"epochs": 8, "average": 0.998}},
    "fer2013": {"augment": "flip,shift:4,zoom:0.1,rotate:10", "options": {"filters": [56, 112, 224, 448]},
                "recipe": {"epochs": 30, "average": 0.998, "smoothing": 0.1}},
    "cifar10": {"augment": "flip,crop:4,cutout:8", "options": {"filters": [64, 128, 256]},
                "recipe": {"epochs": 20, "average": 0.998, "smoothing": 0.1}},
    "": {"augment": "flip,crop:4", "recipe": {"epochs": 20, "average": 0.99}},
}  # fmt: skip
"""What differs from the defaults of :class:`Order`, by data set; the empty name is for class folders."""


@dataclass(frozen=True)
class Order:
    """One training, as it is asked for.

    Args:
        data: where a named data set lies; empty to fetch it.
        options: of the architecture.
        start: the network whose weights to begin with; ``tune`` says which of them change.
        restarts: how many seeds are tried at most until the validation accuracy reaches ``until``.
        sample: of the training pictures, how many are used; 0 is all.
        half: weights are stored in half precision.
        title: of the network's card; its name if empty.
    """

    dataset: str
    data: str = ""
    size: int | None = None
    channels: int | None = None
    sample: int = 0
    arch: str = "cnn"
    options: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""
    start_arch: str = ""
    tune: str = "all"
    augment: str = ""
    robust: str = ""
    restarts: int = 0
    until: float = 1.0
    half: bool = False
    title: str = ""
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        changes.parse(self.augment)
        recipes.parse_robust(self.robust)
        if self.sample < 0 or not 0 <= self.restarts <= 1000 or not 0 < self.until <= 1:
            raise SpecError(
                "The sample, restarts or until is out of range.", "Use 0 or more, 0 to 1000, and above 0 to 1."
            )


def order(dataset: str, recipe: Mapping[str, Any], **values: Any) -> Order:
    """The order for a data set: its defaults, then what was given (None is not).

    Raises:
        SpecError: a value out of range.
    """
    defaults = DEFAULTS.get(dataset, DEFAULTS[""])
    given = {key: value for key, value in values.items() if value is not None}
    usual = {key: value for key, value in defaults.items() if key != "recipe"}
    if given.get("start") or given.get("arch", usual.get("arch", "cnn")) != usual.get("arch", "cnn"):
        usual.pop("options", None)  # they are of another architecture
    merged = {**usual, **given}
    if "options" in usual and "options" in given:
        merged["options"] = {**usual["options"], **given["options"]}
    numbers = {**defaults.get("recipe", {}), **{key: value for key, value in recipe.items() if value is not None}}
    return Order(dataset, recipe=recipes.build(numbers), **merged)


def numbers(text: str, what: str) -> list[int]:
    """The whole numbers of a list such as ``32,64``; an empty list is none of them.

    Raises:
        SpecError: something else, or numbers out of range.
    """
    try:
        found = [int(item) for item in text.split(",")] if text.strip() else []
    except ValueError:
        found = [0]
    if any(not 1 <= value <= 8192 for value in found) or len(found) > 32:
        raise SpecError(f"--{what} has {text[:40]!r}, out of range.", f"Use whole numbers, such as --{what} 32,64.")
    return found


def to_dict(what: Order) -> dict[str, Any]:
    """The order as plain JSON values."""
    return dataclasses.asdict(what)


def named(what: Order) -> str:
    """The data set's name for people, without its folders."""
    return Path(what.dataset).stem or what.dataset
