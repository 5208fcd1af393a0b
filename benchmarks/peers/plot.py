"""``docs/peers.png``: how fast the tools are, as bars; and the seconds to torch-lucent's score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OUT = Path(__file__).parents[2] / "docs" / "peers.png"
INK, OURS, THEIRS = "#333333", "#0a6e8a", "#b9c2c8"


def draw(known: dict[str, Any]) -> None:
    """One panel per case of speed, one per case of time to score; nothing where nothing is known."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = [(title, bars(entry["rows"]), "image-steps/s") for title, entry in known.get("speed", {}).items()]
    panels += [
        (f"to torch-lucent's score, {title}", waits(entry["rows"]), "seconds, one filter")
        for title, entry in known.get("score", {}).items()
    ]
    if not panels:
        return
    rows = (len(panels) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(11, 2.3 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (title, values, unit) in zip(axes.flat, panels, strict=False):
        names = list(values)
        colours = [OURS if name.startswith("vizcore") else THEIRS for name in names]
        drawn = axis.barh(names, list(values.values()), color=colours)
        axis.bar_label(drawn, fmt="%.3g", padding=3, color=INK, fontsize=8)
        axis.invert_yaxis()
        axis.set_title(title, fontsize=9, color=INK)
        axis.set_xlabel(unit, fontsize=8, color=INK)
        axis.tick_params(labelsize=8, colors=INK)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.12)
    figure.savefig(OUT, dpi=110)
    plt.close(figure)


def bars(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Image-steps per second by tool."""
    return {row["tool"]: row["image_steps_per_second"] for row in rows if not row["error"]}


def waits(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds by tool or preset that reached the score."""
    return {
        row["what"] if "reached" not in row else f"vizcore {row['what']}": row["seconds"]
        for row in rows if row.get("seconds", float("inf")) < float("inf")
    }  # fmt: skip
