"""What is known about a network besides its weights: input, normalisation, classes, origin.  No torch here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import platformdirs

from vizcore.errors import ModelError

Source = Literal["bundled", "torchvision", "timm", "file", "factory"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

OWN = "own:"
WEIGHTS, CARD = "weights.safetensors", "card.json"
_OWN = (
    "name",
    "title",
    "arch",
    "arch_options",
    "channels",
    "size",
    "mean",
    "std",
    "classes",
    "showcase",
    "source",
    "weights_hash",
)
_SMALL = 96  # px; a network made for pictures up to this size is shown at twice its size


@dataclass(frozen=True)
class Card:
    """The facts that are needed to feed a network and to name its outputs.

    Args:
        channels: 3 for colour, 1 for grey.
        size: height and width that the network was made for, in pixels.
        mean, std: one number per channel, for pictures in [0, 1].
        classes: names of the logits, in order.
        showcase_layer, showcase_channels: what to show first; an empty layer means that there is no preference.
        weights_hash: sha256, in hex, of the state that is loaded; empty as long as nothing is.
        facts: whatever else is known: data, recipe, accuracy, seed, licence, command ...
    """

    name: str
    title: str
    arch: str
    arch_options: dict[str, Any] = field(default_factory=dict)
    channels: int = 3
    size: int = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    classes: tuple[str, ...] = ()
    showcase_layer: str = ""
    showcase_channels: tuple[int, ...] = tuple(range(16))
    source: Source = "file"
    weights_hash: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.channels not in (1, 3) or isinstance(self.channels, bool):
            raise _bad("channels is not 1 or 3")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise _bad("mean and std do not have one number per channel")
        if not all(_number(value) for value in (*self.mean, *self.std)) or min(self.std) <= 0:
            raise _bad("mean or std is not made of numbers, with std above 0")
        if not isinstance(self.size, int) or isinstance(self.size, bool) or not 1 <= self.size <= 4096:
            raise _bad("size is not a whole number of pixels")


def to_dict(card: Card) -> dict[str, Any]:
    """The card as plain JSON values, in the form of ``card.json``: :func:`from_dict` reads it back."""
    return {
        "name": card.name,
        "title": card.title,
        "arch": card.arch,
        "arch_options": dict(card.arch_options),
        "channels": card.channels,
        "size": card.size,
        "mean": list(card.mean),
        "std": list(card.std),
        "classes": list(card.classes),
        "showcase": {"layer": card.showcase_layer, "channels": list(card.showcase_channels)},
        "source": card.source,
        "weights_hash": card.weights_hash,
        **card.facts,
    }


def from_dict(data: Mapping[str, Any], source: Source = "file") -> Card:
    """The card in ``data``; keys that :class:`Card` does not have become its facts.

    Raises:
        ModelError: a key is missing or has a value of the wrong kind.
    """
    try:
        showcase = data.get("showcase", {})
        return Card(
            name=str(data["name"]),
            title=str(data.get("title", data["name"])),
            arch=str(data["arch"]),
            arch_options=dict(data.get("arch_options", {})),
            channels=data["channels"],
            size=data["size"],
            mean=tuple(data["mean"]),
            std=tuple(data["std"]),
            classes=tuple(str(name) for name in data["classes"]),
            showcase_layer=str(showcase.get("layer", "")),
            showcase_channels=tuple(int(channel) for channel in showcase.get("channels", range(16))),
            source=data.get("source", source),
            weights_hash=str(data.get("weights_hash", "")),
            facts={key: value for key, value in data.items() if key not in _OWN},
        )
    except KeyError as error:
        raise _bad(f"{error.args[0]} is missing") from None
    except (TypeError, ValueError, AttributeError):
        raise _bad("a value is of the wrong kind") from None


def read(path: Path, source: Source = "file") -> Card:
    """The card in a JSON file; raises :class:`ModelError` if it is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise _bad(f"{path.name} is not readable as JSON") from None
    if not isinstance(data, dict):
        raise _bad(f"{path.name} is not a table of names and values")
    return from_dict(data, source)


def bundled() -> dict[str, Path]:
    """The folders of the networks that come with vizcore, by name: of the wheel, else of the checkout."""
    package = Path(__file__).parents[1]
    roots = (package / "_models", package.parent / "models")
    root = next((folder for folder in roots if folder.is_dir()), roots[0])
    return {
        card.parent.name: card.parent for card in sorted(root.glob(f"*/{CARD}")) if (card.parent / WEIGHTS).is_file()
    }


def trained() -> dict[str, Path]:
    """The folders of the networks that the page Training made, by name (``own:ID``), the newest first."""
    home = os.environ.get("VIZCORE_HOME")
    root = Path(home).expanduser() if home else platformdirs.user_data_path("vizcore", appauthor=False)
    return {
        OWN + card.parent.name: card.parent
        for card in sorted(root.glob(f"trainings/*/{CARD}"), reverse=True)
        if (card.parent / WEIGHTS).is_file()
    }


def default_size(card: Card, device: str = "cpu") -> int:
    """The size of picture to start with, in pixels: twice a small network's own, else 128, or 224 on a GPU.

    At least 32, with which every optimizer of pictures has something to do.
    """
    if card.facts.get("fixed_size"):
        return card.size
    if card.size <= _SMALL:
        return min(max(2 * card.size, 32), 128)
    return 128 if device == "cpu" else 224


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e6


def _bad(what: str) -> ModelError:
    return ModelError(f"The network's card cannot be used: {what}.", "See card.json in models/digits for an example.")
