"""What lies beside a tile, to judge it by: real patches, their deconvolution, incoming weights, similar filters.

Each part of each filter is one JSON file with its pictures inside: it is whole or not there, is named by what it is of,
and goes to the page and to the static site as it is.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from vizcore.atlas.head import SCHEMA, Head
from vizcore.atlas.store import Store
from vizcore.errors import SpecError
from vizcore.look.pictures import Picture

PARTS = ("patches", "deconv", "weights", "similar")
FROM_PICTURES = ("patches", "deconv", "similar")  # parts that need real pictures
SURVEY = "survey"  # of a layer: one pass over the pictures, from which its parts are made
FOLDER, SURVEYS = "parts", "surveys"
SCORES: Mapping[str, tuple[str, ...]] = {
    "patches": ("highest", "mean", "off", "selectivity"),
    "deconv": (),
    "weights": ("strongest",),
    "similar": ("nearest",),
}
"""Of each part, the numbers by which filters can be compared (:func:`scores`)."""
SIDE = 112  # px of a picture in a part, at most
STEPS_SIDE = 96
_SMALL = 48  # px up to which pictures are kept without loss: there it costs little, and blur would show


@dataclass(frozen=True)
class Evidence:
    """What a job gathers beside the tiles.

    Args:
        parts: of :data:`PARTS`.
        data, only: the folder or zip of real pictures, as :func:`vizcore.look.collections.collect` takes them.
        fingerprint, pictures: of these pictures; other ones on a worker are refused.
    """

    parts: tuple[str, ...] = ()
    data: str = ""
    only: str = ""
    fingerprint: str = ""
    pictures: int = 0


def parse(text: str) -> tuple[str, ...]:
    """The parts of a list such as ``"patches,deconv"``, or ``"all"``.

    Raises:
        SpecError: an unknown part.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return PARTS
    for name in names:
        if name not in PARTS:
            hint = f"Use {', '.join(PARTS)}, or all."
            raise SpecError(f"--with has {name[:40]!r}, which is nothing that an atlas can have.", hint)
    return tuple(part for part in PARTS if part in names)


def address(head: Head, part: str, layer: str, channel: int, fingerprint: str) -> str:
    """The name of a part: a hash of the weights, the layer, the channel, the pictures and the schema."""
    facts = [SCHEMA, part, head.weights_hash, layer, channel, fingerprint if part in FROM_PICTURES else ""]
    return _hash(facts)


def file_of(name: str) -> str:
    """Where the part of that address lies in a store.  The pictures on the way to a tile have the tile's address."""
    return f"{FOLDER}/{name[:2]}/{name}.json"


def survey_of(head: Head, layer: str, fingerprint: str) -> str:
    """Where the survey of a layer lies in a store."""
    return f"{SURVEYS}/{_hash([SCHEMA, SURVEY, head.weights_hash, layer, fingerprint])}.npz"


def _hash(facts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()[:40]


def pack(document: Mapping[str, Any]) -> bytes:
    """A part as it lies in a store."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def scores(part: str, document: Mapping[str, Any]) -> dict[str, float]:
    """What a part says in numbers; nothing if it only says why it is not there.

    ``highest``, ``mean``, ``off`` (share of places where it is zero) and ``selectivity`` over the real pictures;
    ``strongest``: the share of the squared weights that its strongest input has; ``nearest``: the correlation with the
    nearest filter.
    """
    if "why" in document:
        return {}
    found = {name: document.get(name) for name in SCORES[part]}
    if part == "weights":
        shares = [source["share"] for kernel in document["kernels"] for source in kernel["sources"]]
        found["strongest"] = max(shares, default=None)
    elif part == "similar":
        found["nearest"] = max((value for _, value in document["neighbours"]), default=None)
    return {name: round(float(value), 6) for name, value in found.items() if value is not None}


def scores_in(part: str, data: bytes | None) -> dict[str, float]:
    """The scores of a part as it lies in a store; none if it is damaged."""
    try:
        return scores(part, json.loads(data or b"{}"))
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def inline(picture: Picture, side: int = SIDE) -> str:
    """A picture uint8 ``[H, W, 3]`` as the address of itself: WebP, at most ``side`` px."""
    image = Image.fromarray(picture)
    small = max(image.size) <= _SMALL
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "WEBP", lossless=small, quality=85, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def read(store: Store, unit: Mapping[str, Any]) -> dict[str, Any]:
    """All that lies beside a filter, by part, and ``steps``, the pictures on the way to its tile.

    Args:
        unit: what the manifest says of it.
    """
    found: dict[str, Any] = {}
    for part in ("steps", *PARTS):
        name = unit.get("tile" if part == "steps" else part)
        data = store.read(file_of(name)) if name else None
        if data is not None:
            try:
                document = json.loads(data)
            except ValueError:  # damaged on its disk
                continue
            if isinstance(document, dict):
                found[part] = document
    for part, error in unit.get("failed", {}).items():
        found.setdefault(part, {"why": str(error.get("message", ""))})
    return found
