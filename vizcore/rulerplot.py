"""The ruler's table as a picture: a panel for each column, a bar for each method, as SVG.

A bar is the mean over units, the whisker one deviation over units to either side, the dashed line what real pictures
have.  SVG is text, so no library is needed, and it stays sharp at any size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

TITLES = {
    "activation": ("activation", "of the highest real one"),
    "held_out": ("held out", "share that moves leave"),
    "transfer": ("transfer", "another network's probability"),
    "transferred": ("transferred", "share it takes for the class"),
    "nearest": ("nearest", "distance to a real picture"),
    "spectrum": ("spectrum", "distance of log power"),
    "diversity": ("diversity", "difference of two pictures"),
    "seconds": ("seconds", "of computing, per picture"),
}
ACROSS = 4  # panels in a row
NAMES, PANEL, BAR, ROW, HEAD, FOOT = 96, 190, 120, 20, 54, 8  # px
INK, FAINT, REAL, BARS = "#333333", "#8a9299", "#c2410c", "#0a6e8a"
STYLE = "font-family:system-ui,sans-serif;font-size:11px"


def plot(table: Sequence[Mapping[str, Any]], title: str, columns: Sequence[str] = tuple(TITLES)) -> str:
    """The rows of ``table`` as an SVG document.

    Args:
        table: a row for each method: ``method``, and for each column its mean and ``COLUMN_sd``, or None.
        columns: of it; those without any number are left out.
    """
    shown = [name for name in columns if any(_number(row, name) is not None for row in table)]
    bands = [shown[start : start + ACROSS] for start in range(0, len(shown), ACROSS)]
    width = NAMES + PANEL * min(ACROSS, max(len(shown), 1))
    band = HEAD + ROW * len(table) + FOOT
    height = 28 + band * len(bands)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'style="{STYLE}" role="img" aria-label="{escape(title)}">',
        f'<rect class="ground" width="{width}" height="{height}" fill="#ffffff"/>',
        _text(8, 20, title, INK, "font-weight:600;font-size:13px"),
    ]
    for number, names in enumerate(bands):
        top = 28 + band * number
        for index, row in enumerate(table):
            y = top + HEAD + ROW * index + 14
            lines.append(_text(NAMES - 8, y, str(row["method"]), INK, "text-anchor:end"))
        for index, name in enumerate(names):
            lines += _panel(table, name, NAMES + PANEL * index, top)
    return "\n".join([*lines, "</svg>", ""])


def _panel(table: Sequence[Mapping[str, Any]], name: str, left: int, top: int) -> list[str]:
    """The bars of a column, from 0 to the furthest whisker."""
    found = [(row, value) for row in table if (value := _number(row, name)) is not None]
    most = max(max(value + (_number(row, f"{name}_sd") or 0.0) for row, value in found), 1e-12)
    head, text = TITLES.get(name, (name.replace("_", " "), ""))
    lines = [
        _text(left, top + 22, head, INK, "font-weight:600"), _text(left, top + 36, text, FAINT, "font-size:10px"),
    ]  # fmt: skip
    bottom = top + HEAD + ROW * len(table)
    for index, row in enumerate(table):
        y, value = top + HEAD + ROW * index, _number(row, name)
        if value is None:
            lines.append(_text(left, y + 14, "–", FAINT))
            continue
        long, spread = max(value, 0.0) / most * BAR, (_number(row, f"{name}_sd") or 0.0) / most * BAR
        colour, kind = (REAL, "bar real") if row["method"] == "real" else (BARS, "bar")
        lines.append(
            f'<rect class="{kind}" x="{left}" y="{y + 3}" width="{long:.2f}" height="{ROW - 6}" fill="{colour}" '
            f'fill-opacity="0.75"><title>{escape(str(row["method"]))}: {value:.4g}</title></rect>'
        )
        if spread:
            low, high = max(left + long - spread, left), left + long + spread
            lines.append(f'<line x1="{low:.2f}" x2="{high:.2f}" y1="{y + ROW / 2}" y2="{y + ROW / 2}" stroke="{INK}"/>')
        lines.append(_text(left + max(long + spread, 0) + 4, y + 14, f"{value:.3g}", INK, "font-size:10px"))
        if row["method"] == "real":
            lines.append(
                f'<line class="real" x1="{left + long:.2f}" x2="{left + long:.2f}" y1="{y}" y2="{bottom}" '
                f'stroke="{REAL}" stroke-dasharray="2 3"/>'
            )
    return lines


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and value == value else None


def _text(x: float, y: float, words: str, colour: str, style: str = "") -> str:
    kind = ' class="faint"' if colour == FAINT else ""
    return f'<text{kind} x="{x:.1f}" y="{y}" fill="{colour}" style="{style}">{escape(words)}</text>'
