"""Which generators are at hand by a plain name, from their cards alone.  No torch here.

::

    bundled            models/NAME
    own                NAME in ``generators`` beside the runs, or in a folder of VIZCORE_GENERATORS
    deepsim-NET        NET.pt (fc6, fc7, fc8, pool5) in such a folder
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vizcore.errors import GeneratorError

CARD, WEIGHTS = "generator.json", "weights.safetensors"
VARIABLE = "VIZCORE_GENERATORS"
DEEPSIM = {f"deepsim-{net}": f"{net}.pt" for net in ("fc6", "fc7", "fc8", "pool5")}


@dataclass(frozen=True)
class Entry:
    """What a page or a list says of a generator.

    Args:
        network: the name of the network that its codes are of.
        size: of its pictures, in px; ``channels``: 3 or 1.
        code: shape of a code; ``layer``: whose output it is.
        denoisers: which it has, ``denoiser`` of codes and ``image_denoiser``.
        encoder: whether pictures have codes; without one there is no prior of joint PPGN-h.
        source: ``bundled``, ``own`` or ``published``.
        licence: of the weights, as far as it is known.
    """

    name: str
    title: str
    network: str
    size: int
    channels: int
    classes: tuple[str, ...]
    code: tuple[int, ...]
    layer: str
    denoisers: tuple[str, ...]
    encoder: bool
    source: str
    licence: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "classes": list(self.classes), "code": list(self.code)}


def bundled() -> dict[str, Path]:
    """The folders of the generators that come with vizcore, by name."""
    package = Path(__file__).parents[2]
    roots = (package / "vizcore" / "_models", package / "models")
    root = next((folder for folder in roots if folder.is_dir()), roots[0])
    return dict(_in(root))


def places(home: Path | None = None) -> dict[str, Path]:
    """Folder or file of every generator with a plain name; the bundled ones first, whose names nobody else takes.

    Args:
        home: in whose folder ``generators`` own ones lie; that of the run library if not given.
    """
    from vizcore.runs import Library

    found = bundled()
    given = [Path(part).expanduser() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    for root in [*given, (home or Library().home) / "generators"]:
        one = [(root.name, root)] if (root / CARD).is_file() else []
        files = [(name, root / file) for name, file in DEEPSIM.items() if (root / file).is_file()]
        for name, path in [*one, *_in(root), *files]:
            found.setdefault(name, path)
    return found


def entries(home: Path | None = None) -> list[Entry]:
    """All of them whose cards can be read; ``home`` as for :func:`places`."""
    own = bundled()
    return [entry for name, path in places(home).items() if (entry := _entry(name, path, name in own)) is not None]


def fitting(network: Any) -> str:
    """The name of the generator for a network's pictures, that of its own codes before others.

    Args:
        network: its card (:class:`vizcore.zoo.card.Card`).

    Raises:
        GeneratorError: there is none.
    """
    fits = [one for one in entries() if (one.size, one.channels) == (network.size, network.channels)]
    fits.sort(key=lambda one: (one.network != network.name, one.classes != tuple(network.classes)))
    if not fits:
        raise GeneratorError(
            f"There is no generator for {network.name}, which takes pictures of {network.size} px.",
            "Name one, or train one with vizcore train-generator.",
        )
    return fits[0].name


def is_plain(name: str) -> bool:
    """Whether ``name`` could be that of a generator at hand, and no path."""
    return not any(mark in name for mark in "/\\=:") and not name.startswith(".")


def _in(root: Path) -> Iterator[tuple[str, Path]]:
    for card in sorted(root.glob(f"*/{CARD}")):
        if (card.parent / WEIGHTS).is_file():
            yield card.parent.name, card.parent


def _entry(name: str, path: Path, ours: bool) -> Entry | None:
    if path.is_file():
        shapes = {"fc6": (4096,), "fc7": (4096,), "fc8": (1000,), "pool5": (256, 6, 6)}
        net = name.removeprefix("deepsim-")
        return Entry(name, f"DeePSiM {net}", "CaffeNet", 256, 3, (), shapes[net], net, (), False, "published")
    try:
        card: Mapping[str, Any] = json.loads((path / CARD).read_text(encoding="utf-8"))
        encoder = card["encoder"]
        return Entry(
            name, str(card.get("title") or name), str(encoder["name"]), int(encoder["size"]), int(encoder["channels"]),
            tuple(str(one) for one in encoder["classes"]), tuple(int(side) for side in card["code_shape"]),
            str(card["layer"]), tuple(str(one) for one in card.get("denoisers", ())), True,
            "bundled" if ours else "own", str(card.get("licence", "")),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
