"""Pictures of an evaluation: the confusion matrix, learning curves, mistakes.  No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vizcore.export import contact_sheet
from vizcore.look import display
from vizcore.look.pictures import Picture

PAPER, INK, FAINT = (18, 18, 20), (235, 235, 235), (120, 120, 125)
COLOURS = ((255, 170, 80), (110, 180, 255), (150, 220, 130), (230, 130, 200), (240, 220, 110), (170, 160, 250))
_CELL, _LABEL, _MOST = 34, 96, 40  # px, px, classes whose names fit
_WIDTH, _HEIGHT, _EDGE = 640, 360, 48  # of curves, px


def confusion(table: NDArray[np.int64], classes: Sequence[str]) -> Picture:
    """Counts ``[K, K]`` (row: label, column: taken for) as shares of their rows, with the counts written in."""
    count = len(classes)
    cell = _CELL if count <= _MOST else max(2, 1360 // count)
    edge = _LABEL if count <= _MOST else 8
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    tiles = display.colours(np.sqrt(shares), "inferno")  # the root shows what is rare
    sheet = Image.new("RGB", (edge + count * cell + 8, edge + count * cell + 8), PAPER)
    squares = Image.fromarray(tiles).resize((count * cell, count * cell), Image.Resampling.NEAREST)
    sheet.paste(squares, (edge, edge))
    if count > _MOST:
        return np.asarray(sheet)
    draw, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(12), ImageFont.load_default(10)
    for i, name in enumerate(classes):
        short = _fit(name, edge - 10, font)
        middle = edge + i * cell + cell // 2
        draw.text((edge - 6, middle), short, INK, font, anchor="rm")
        column = Image.new("RGB", (edge - 10, 16), PAPER)
        ImageDraw.Draw(column).text((0, 8), short, INK, font, anchor="lm")
        sheet.paste(column.rotate(90, expand=True), (middle - 8, 4))
        for j in range(count):
            if table[i, j]:
                dark = shares[i, j] > 0.35
                place = (edge + j * cell + cell // 2, middle)
                draw.text(place, str(table[i, j]), (0, 0, 0) if dark else INK, small, anchor="mm")
    return np.asarray(sheet)


def curves(lines: Mapping[str, Sequence[float | None]], title: str) -> Picture:
    """One line over the epochs for each name; missing values are left out."""
    sheet = Image.new("RGB", (_WIDTH, _HEIGHT), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    known = [value for line in lines.values() for value in line if value is not None]
    draw.text((_EDGE, 14), title, INK, font, anchor="lm")
    if not known:
        return np.asarray(sheet)
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    epochs = max(len(line) for line in lines.values())

    def place(epoch: int, value: float) -> tuple[float, float]:
        x = _EDGE + (_WIDTH - 2 * _EDGE) * (epoch / max(epochs - 1, 1))
        return x, _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * (value - low) / span

    for share in (0.0, 0.5, 1.0):
        y = place(0, low + share * span)[1]
        draw.line([(_EDGE, y), (_WIDTH - _EDGE, y)], (50, 50, 54))
        draw.text((_EDGE - 6, y), f"{low + share * span:.3g}", FAINT, font, anchor="rm")
    for epoch in sorted({0, epochs // 2, epochs - 1}):
        draw.text((place(epoch, low)[0], _HEIGHT - _EDGE + 14), str(epoch + 1), FAINT, font, anchor="mm")
    for index, (name, line) in enumerate(lines.items()):
        colour = COLOURS[index % len(COLOURS)]
        points = [place(epoch, value) for epoch, value in enumerate(line) if value is not None]
        if len(points) > 1:
            draw.line(points, colour, 2, joint="curve")
        elif points:
            draw.ellipse([points[0][0] - 2, points[0][1] - 2, points[0][0] + 2, points[0][1] + 2], colour)
        draw.text((_EDGE + 150 * index, _HEIGHT - 12), name, colour, font, anchor="lm")
    return np.asarray(sheet)


def mistakes(images: NDArray[np.uint8], captions: Sequence[str]) -> Picture:
    """Pictures ``[N, C, H, W]`` that were taken for something else, with a line under each."""
    side = max(96, images.shape[2])
    tiles = np.repeat(images.transpose(0, 2, 3, 1), 3 if images.shape[1] == 1 else 1, 3)
    large = np.stack([display.enlarge(np.ascontiguousarray(tile), side) for tile in tiles])
    return contact_sheet(large, captions, 6)


def _fit(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    text = text.splitlines()[0] if text.strip() else ""
    while text and font.getlength(text) > width:
        text = text[:-1]
    return text
