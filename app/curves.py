"""The figure of scores: one line per filter, the linked cursor, marks where a knob was turned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, CustomJS, HoverTool, Range1d, Span
from bokeh.palettes import Viridis256
from bokeh.plotting import figure

POINTS = 6400  # of all lines: 400 for each of 16, more than the figure has pixels
LEAST = 150  # per line, however many there are
_THEMES = {
    "dark": {"text": "#c9c9c9", "grid": "#3a3a3a", "cursor": "#ffffff", "mark": "#e0a030", "other": "#ff7ac8"},
    "light": {"text": "#333333", "grid": "#dddddd", "cursor": "#000000", "mark": "#b06000", "other": "#b0126f"},
}


def decimate(count: int, limit: int) -> np.ndarray:
    """Indices of at most ``limit`` of ``count`` points, the first and the last among them, evenly spread."""
    if count <= limit:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, limit).round().astype(int))


def colours(count: int) -> list[str]:
    """One colour of viridis per filter; its darkest part, invisible on dark, is left out."""
    return [Viridis256[int(i)] for i in np.linspace(70, 255, max(count, 1)).round()]


class Curves:
    """Scores over steps; ``show`` once per run, ``add`` for what is new, ``draw`` at most a few times a second."""

    def __init__(self) -> None:
        self.scores = ColumnDataSource(
            {"xs": [], "ys": [], "channel": [], "color": [], "alpha": [], "width": []}, name="scores"
        )
        self.marks = ColumnDataSource({"step": [], "text": []}, name="marks")
        self.other = ColumnDataSource({"x": [], "y": []}, name="other")  # of picture B
        self.place = ColumnDataSource({"x": [], "y": []}, name="place")  # where B is on it
        # On the layer above: when it moves, the lines are not drawn again.
        self.cursor = Span(
            dimension="height", location=0, line_width=1.5, level="overlay", name="cursor", syncable=False
        )
        self.figure = self._figure()
        self._channels: tuple[int, ...] = ()
        self._steps = np.zeros(0, np.int64)
        self._values = np.zeros((0, 0), np.float32)
        self._selected: int | None = None
        self._drawn: tuple[int, int, int | None] | None = None
        self.theme("dark")

    def _figure(self) -> figure:
        plot = figure(
            name="curves", height=180, sizing_mode="stretch_width", tools="", toolbar_location=None, min_border=4,
            background_fill_color=None, border_fill_color=None, outline_line_color=None,
            x_range=Range1d(0, 1), y_range=Range1d(0, 1),
            html_attributes={"data-testid": "curves", "role": "img", "aria-label": "Scores over the steps"},
        )  # fmt: skip
        plot.axis.minor_tick_line_color = None
        plot.axis.major_tick_in = 0
        plot.yaxis.ticker.desired_num_ticks = 4
        lines = plot.multi_line(
            "xs", "ys", source=self.scores, line_color="color", line_alpha="alpha", line_width="width"
        )
        other = plot.line("x", "y", source=self.other, line_dash="dashed", line_width=2)
        place = plot.scatter("x", "y", source=self.place, marker="circle", size=8)
        knobs = plot.ray(
            x="step",
            y=0,
            length=0,
            angle=np.pi / 2,
            source=self.marks,
            line_dash="dotted",
            line_width=1.5,
            name="knobs",
        )
        below = plot.ray(
            x="step", y=0, length=0, angle=-np.pi / 2, source=self.marks, line_dash="dotted", line_width=1.5
        )
        dots = plot.scatter(x="step", y=0, source=self.marks, marker="diamond", size=9)
        plot.add_tools(
            HoverTool(
                renderers=[lines], tooltips=[("filter", "@channel"), ("step", "$data_x{0}"), ("score", "$data_y")]
            ),
            HoverTool(renderers=[dots], tooltips="@text"),
            HoverTool(renderers=[other], tooltips=[("B", ""), ("step", "@x"), ("score", "@y")]),
        )
        plot.js_on_event(Tap, CustomJS(code="window.vizcore?.scrub?.(Math.max(0, Math.round(cb_obj.x)))"))
        plot.add_layout(self.cursor)
        self._mark_glyphs = [knobs.glyph, below.glyph]
        self._dots = dots.glyph
        self._others = [other.glyph, place.glyph]
        return plot

    def theme(self, name: str) -> None:
        """Colours of text, grid, cursor and marks for ``"dark"`` or ``"light"``."""
        theme = _THEMES.get(name, _THEMES["dark"])
        for axis in self.figure.axis:
            axis.major_label_text_color = theme["text"]
            axis.axis_line_color = axis.major_tick_line_color = theme["grid"]
        for grid in self.figure.grid:
            grid.grid_line_color = theme["grid"]
        self.cursor.line_color = theme["cursor"]
        for glyph in self._mark_glyphs:
            glyph.line_color = theme["mark"]
        self._dots.fill_color = self._dots.line_color = theme["mark"]
        line, place = self._others
        line.line_color = place.fill_color = place.line_color = theme["other"]

    def show(self, channels: Sequence[int], selected: int | None) -> None:
        """Begin with the filters of a new run and no points."""
        self._channels = tuple(channels)
        self._steps = np.zeros(0, np.int64)
        self._values = np.zeros((0, len(self._channels)), np.float32)
        self._selected = selected
        self._drawn = None
        self.marks.data = {"step": [], "text": []}
        self.draw()

    @property
    def last(self) -> int:
        """The last step with a score, -1 for none."""
        return int(self._steps[-1]) if len(self._steps) else -1

    def add(self, steps: np.ndarray, scores: np.ndarray) -> None:
        """New scores [K, N] of ``steps`` [K]; what comes again after a roll-back replaces what was there."""
        if not len(steps) or scores.ndim != 2 or scores.shape[1] != len(self._channels):
            return
        keep = self._steps < steps[0]
        self._steps = np.concatenate([self._steps[keep], np.asarray(steps, np.int64)])
        self._values = np.concatenate([self._values[keep], np.asarray(scores, np.float32)])

    def void(self) -> None:
        """What is known is of no worth any more; it stays on the screen until something new is drawn."""
        self._steps, self._values, self._drawn = self._steps[:0], self._values[:0], None

    def select(self, channel: int | None) -> None:
        """Highlight one filter."""
        self._selected = channel
        self.draw()

    def against(self, curve: tuple[np.ndarray, np.ndarray] | None, step: int = 0) -> None:
        """Lay another run's scores of one filter over the curves: steps [K], scores [K]; ``None`` takes them away."""
        steps, values = curve if curve is not None else (np.zeros(0, np.int64), np.zeros(0, np.float32))
        index = decimate(len(steps), POINTS // 16)
        xs, ys = steps[index].astype(np.int32), np.nan_to_num(values[index], nan=0.0, posinf=0.0, neginf=0.0)
        self.other.data = {"x": xs, "y": ys}
        here = np.flatnonzero(steps == step)[:1]
        self.place.data = {"x": steps[here].astype(np.int32), "y": np.nan_to_num(values[here])}
        self._drawn = None
        self.draw()

    def draw(self) -> None:
        """Bring the figure up to date; nothing is sent when nothing changed."""
        state = (len(self._steps), self.last, self._selected)
        if state == self._drawn or not self._channels:
            return
        self._drawn = state
        index = decimate(len(self._steps), max(POINTS // len(self._channels), LEAST))
        xs = self._steps[index].astype(np.int32)
        values = np.nan_to_num(self._values[index], nan=0.0, posinf=0.0, neginf=0.0)
        chosen = [channel == self._selected for channel in self._channels]
        data: dict[str, Any] = {
            "xs": [xs] * len(self._channels),
            "ys": [np.ascontiguousarray(values[:, i]) for i in range(len(self._channels))],
            "channel": list(self._channels),
            "color": colours(len(self._channels)),
            "alpha": [1.0 if c else 0.45 for c in chosen],
            "width": [3.0 if c else 1.0 for c in chosen],
        }
        self.scores.data = data
        self._frame(xs, values)

    def _frame(self, xs: np.ndarray, values: np.ndarray) -> None:
        """Ranges around all points, with a little air above and below."""
        plot = self.figure
        other = self.other.data
        values = np.concatenate([values.ravel(), np.asarray(other["y"], np.float32)])
        xs = np.concatenate([xs, np.asarray(other["x"], np.int32)])
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        plot.x_range.update(start=0, end=max(int(xs.max()) if len(xs) else 1, 1))
        air = 0.05 * (high - low) or 0.5
        plot.y_range.update(start=low - air, end=high + air)

    def mark(self, knobs: Sequence[tuple[int, str]]) -> None:
        """Marks at (step, text)."""
        if len(knobs) != len(self.marks.data["step"]):
            self.marks.data = {"step": [step for step, _ in knobs], "text": [text for _, text in knobs]}
