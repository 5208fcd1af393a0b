"""Pages of pictures, part by part: each can be made again alone, and what is not made again stays as it is.

A page holds each part between ``<!-- KEY -->`` and ``<!-- /KEY -->``; its picture is ``FOLDER/KEY.webp``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vizcore.look.pictures import Picture

DOCS = Path(__file__).parents[1] / "docs"
FOLDER = DOCS / "gallery"


@dataclass(frozen=True)
class Made:
    """A part: a picture, or a table as text, under a title and a text."""

    title: str
    text: str
    what: Picture | str


Make = Callable[[], Made | None]


def rebuild(page: Path, head: str, parts: Mapping[str, Make], names: Sequence[str], quality: int = 86) -> int:
    """Make the parts whose keys are among ``names`` or begin with one and a hyphen (all without names), and write
    the page; 2 for a name that fits none.  A part that gives None, for want of data, stays as it was."""
    unknown = [name for name in names if not any(_fits(key, name) for key in parts)]
    if unknown:
        print(f"There is no part {unknown[0]}. Use: {', '.join(parts)}.", file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    for key, make in parts.items():
        if not names or any(_fits(key, name) for name in names):
            made = make()
            if made is None:
                print(f"{key}: left out", flush=True)
                continue
            there = _there(page)  # as it is now: other parts may have been made meanwhile
            there[key] = f"## {made.title}\n\n{made.text}\n\n{_shown(key, made, quality)}"
            _write(page, head, [(name, there[name]) for name in parts if name in there])  # what is made is not lost
            print(key, flush=True)
    there = _there(page)
    _write(page, head, [(key, there[key]) for key in parts if key in there])
    return 0


def sections(text: str) -> dict[str, str]:
    """The parts of a page by key."""
    found = re.findall(r"^<!-- ([\w-]+) -->\n(.*?)\n<!-- /\1 -->$", text, re.MULTILINE | re.DOTALL)
    return dict(found)


def enlarged(tiles: Sequence[Picture], side: int) -> Picture:
    """Small pictures, grey or not, as ``[N, side, side, 3]``: by a whole factor, then smoothly."""
    rows = []
    for tile in tiles:
        colour = np.repeat(tile, 3, 2) if tile.shape[2] == 1 else tile
        factor = max(1, side // colour.shape[0])
        large = Image.fromarray(colour.repeat(factor, 0).repeat(factor, 1))
        rows.append(np.asarray(large.resize((side, side), Image.Resampling.BICUBIC)))
    return np.stack(rows)


def _there(page: Path) -> dict[str, str]:
    return sections(page.read_text(encoding="utf-8")) if page.exists() else {}


def _fits(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}-")


def _shown(key: str, made: Made, quality: int) -> str:
    if isinstance(made.what, str):
        return made.what
    path = FOLDER / f"{key}.webp"
    Image.fromarray(made.what).save(path, "WEBP", quality=quality, method=6)
    return f"![{made.title}]({FOLDER.name}/{path.name})"


def _write(page: Path, head: str, parts: Sequence[tuple[str, str]]) -> None:
    body = [f"<!-- {key} -->\n{text}\n<!-- /{key} -->" for key, text in parts]
    page.write_text("\n\n".join([head.rstrip(), *body]) + "\n", encoding="utf-8")
