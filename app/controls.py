"""Widgets from the metadata of the parameters; no range is written here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bokeh.models import (
    AutocompleteInput,
    Button,
    Checkbox,
    Column,
    CustomJS,
    CustomJSTickFormatter,
    Div,
    Row,
    Select,
    Slider,
    Spinner,
    TextInput,
    Toggle,
    Widget,
)

from app.notices import plain
from vizcore.params import Param, Value
from vizcore.spec import PARAMS, PRESET_HELP, PRESETS

OBJECTIVES = ("channel", "-channel", "neuron", "-neuron", "layer", "class", "-class", "direction")
"""Completions of the objective; any sum that the engine understands may be typed."""

FIRST = "look"  # the group that is always open
_GROUPS = {
    "transforms": "Transforms",
    "penalties": "Penalties",
    "image": "Image and optimizer",
    "generator": "Generator",
}
_SHOWN = (FIRST, *_GROUPS)  # those of dreams are on a page of their own
CODES = "generator"  # the group, and the image, of codes
_TICKS = 10_000  # a slider with more positions than this cannot be aimed: a number field is made instead
_DECADE = 100  # positions of a logarithmic slider per decade

# Positions of a logarithmic slider are exponents of ten; its left end means 0 where 0 is allowed.
_LOG_TEXT = (
    "const v = tick <= zero ? 0 : Math.pow(10, tick); return v === 0 ? '0' : Number(v.toPrecision(3)).toString()"
)


def log_range(meta: Param) -> tuple[float, float]:
    """First and last position of a logarithmic slider: exponents of ten, one decade below ``step`` for 0."""
    low = math.log10(meta.minimum) if meta.minimum > 0 else math.log10(meta.step) - 1
    return low, math.log10(meta.maximum)


def to_position(meta: Param, value: float) -> float:
    """Where the slider of ``meta`` stands for ``value``."""
    if not meta.log:
        return value
    low, high = log_range(meta)
    return low if value <= 0 else min(max(math.log10(value), low), high)


def from_position(meta: Param, position: object) -> Value:
    """The value of ``meta`` at a slider's position, in range whatever the page sends."""
    if isinstance(position, bool) or not isinstance(position, (int, float)):
        return meta.clamp(position)
    if not meta.log or math.isnan(position):
        return meta.clamp(position)
    low, high = log_range(meta)
    if position <= low and meta.minimum <= 0:
        return meta.clamp(0.0)
    value = 10.0 ** min(max(position, low), high)
    return meta.clamp(round(value) if meta.kind == "int" else float(f"{value:.3g}"))


def _attributes(name: str, label: str, help: str) -> dict[str, str]:
    return {"data-testid": f"control-{name}", "aria-label": label, "title": help}


class Control:
    """One parameter and its widget.

    Args:
        changed: called with the name and the clamped value when the user changed it.
    """

    def __init__(self, meta: Param, changed: Callable[[str, Value], None]) -> None:
        self.meta = meta
        self._changed = changed
        self._quiet = False
        self.widget, self._attribute = _widget(meta)
        self.widget.on_change(self._attribute, self._on_change)

    @property
    def value(self) -> Value:
        """What the widget says, brought into range."""
        raw = getattr(self.widget, self._attribute)
        if isinstance(self.widget, Slider):
            return from_position(self.meta, raw)
        return self.meta.clamp(raw)

    def show(self, value: Value) -> None:
        """Set the widget without telling anybody."""
        raw: Any = value
        if isinstance(self.widget, Slider):
            if self.value == value:  # it stands there, if not at the same digit: a hand may be on it
                return
            raw = to_position(self.meta, float(value))
        if getattr(self.widget, self._attribute) == raw:
            return
        self._quiet = True
        try:
            setattr(self.widget, self._attribute, raw)
        finally:
            self._quiet = False

    def _on_change(self, attribute: str, old: Any, new: Any) -> None:
        if self._quiet:
            return
        value = self.value
        if not isinstance(self.widget, Slider):
            self.show(value)  # what was out of range is seen to be brought back
        self._changed(self.meta.name, value)


def _widget(meta: Param) -> tuple[Widget, str]:
    title = meta.label + (f" ({meta.unit})" if meta.unit else "")
    common: dict[str, Any] = {
        "name": f"control-{meta.name}",
        "html_attributes": _attributes(meta.name, meta.label, meta.help),
        "sizing_mode": "stretch_width",
    }
    if meta.kind == "bool":
        return Checkbox(label=title, active=bool(meta.default), **common), "active"
    if meta.kind == "choice":
        return Select(title=title, options=list(meta.choices), value=meta.default, **common), "value"
    if meta.log:
        low, high = log_range(meta)
        text = CustomJSTickFormatter(
            args={"zero": low if meta.minimum <= 0 else -math.inf, "whole": meta.kind == "int"}, code=_LOG_TEXT
        )
        position = to_position(meta, float(meta.default))
        slider = Slider(
            title=title, start=low, end=high, step=1 / _DECADE, value=position, format=text, **common
        )  # fmt: skip
        return slider, "value"
    if (meta.maximum - meta.minimum) / meta.step > _TICKS:
        mode = "int" if meta.kind == "int" else "float"
        field = Spinner(
            title=title, low=meta.minimum, high=meta.maximum, step=meta.step, mode=mode, value=meta.default, **common
        )
        return field, "value"
    start = math.floor(meta.minimum / meta.step) * meta.step  # on the grid of the step; clamped when read
    places = max(0, -math.floor(math.log10(meta.step) + 1e-9))
    number = "0" if places == 0 else "0[.]" + "0" * places
    slider = Slider(
        title=title, start=start, end=meta.maximum, step=meta.step, value=meta.default, format=number, **common
    )
    return slider, "value"


class Controls:
    """The column of all controls.

    Args:
        asked: called with (name, value) for each change: a name of ``PARAMS``, or ``"preset"``, ``"model"``,
            ``"layer"``, ``"filters"``, ``"objective"``, ``"dice"``.
    """

    def __init__(self, asked: Callable[[str, Any], None]) -> None:
        self._asked = asked
        self._quiet = False
        self.parameters = {name: Control(meta, asked) for name, meta in PARAMS.items() if meta.group in _SHOWN}
        self.preset = Select(
            title="Preset", options=list(PRESETS), value="Crisp",
            **_named("preset", "\n".join(f"{name}: {help}" for name, help in PRESET_HELP.items())),
        )  # fmt: skip
        self.model = Select(title="Model", options=[], value="", **_named("model", "The network to look into."))
        self.layer = AutocompleteInput(
            title="Layer", completions=[], value="", min_characters=0, case_sensitive=False, restrict=False,
            search_strategy="includes", max_completions=200, placeholder="search",
            **_named("layer", "Type a part of a layer's path."),
        )  # fmt: skip
        self.filters = TextInput(
            title="Filters", value="", placeholder="0-15, 40", **_named("filters", "Numbers and ranges, at most 64.")
        )
        self.objective = AutocompleteInput(
            title="Objective", completions=list(OBJECTIVES), value="channel", min_characters=0, restrict=False,
            case_sensitive=False, search_strategy="includes",
            **_named("objective", "What is raised, or a sum such as channel - 0.1*layer."),
        )  # fmt: skip
        self.dice = Button(
            label="⚄", width=40, align="end", name="control-dice",
            html_attributes=_attributes("dice", "Other filters at random", "Other filters at random"),
        )  # fmt: skip
        for name in ("preset", "model", "layer", "filters", "objective"):
            getattr(self, name).on_change("value", lambda _attr, _old, new, name=name: self._changed(name, new))
        self.dice.on_click(lambda: self._asked("dice", None))
        self.root = self._layout()
        self._offer(False)

    def _layout(self) -> Column:
        def group(names: Iterable[str], title: str) -> Column:
            heading = Div(text=plain(title), css_classes=["vz-heading"], sizing_mode="stretch_width")
            widgets = [self.parameters[name].widget for name in names]
            return Column(heading, *widgets, css_classes=["vz-group"], sizing_mode="stretch_width")

        grouped: dict[str, list[str]] = {}
        for name, meta in PARAMS.items():
            if meta.group not in _SHOWN:
                continue
            grouped.setdefault(meta.group, []).append(name)
        target = Column(
            self.preset, self.model, self.layer,
            Row(self.filters, self.dice, sizing_mode="stretch_width"), self.objective,
            css_classes=["vz-group"], sizing_mode="stretch_width",
        )  # fmt: skip
        look = group(grouped.pop(FIRST, []), "Look")
        groups = {key: group(names, _GROUPS.get(key, key)) for key, names in grouped.items()}
        self.codes = groups[CODES]
        rest = list(groups.values())
        advanced = Column(
            *rest, visible=False, name="advanced", css_classes=["vz-advanced"], sizing_mode="stretch_width"
        )
        toggle = Toggle(
            label="Advanced", active=False, sizing_mode="stretch_width", name="control-advanced",
            html_attributes=_attributes("advanced", "Show more controls", "Transforms, penalties, image and optimizer"),
        )  # fmt: skip
        toggle.js_on_change("active", CustomJS(code="window.vizcore?.advanced?.(cb_obj.active)"))  # before it grows
        toggle.js_link("active", advanced, "visible")
        return Column(
            target, look, toggle, advanced, name="controls", css_classes=["vz-controls"], sizing_mode="stretch_width"
        )

    def _changed(self, name: str, value: Any) -> None:
        if not self._quiet and isinstance(value, str):
            self._asked(name, value[:4096])

    def show(self, **target: str) -> None:
        """Set preset, model, layer, filters or objective without telling anybody."""
        self._quiet = True
        try:
            for name, value in target.items():
                widget = getattr(self, name)
                if name == "model" and value and value not in _values(widget.options):
                    widget.options = _with(widget.options, value)
                if widget.value != value:
                    widget.value = value
        finally:
            self._quiet = False

    def show_values(self, values: Mapping[str, Value]) -> None:
        """Set the widgets of parameters without telling anybody."""
        for name, value in values.items():
            if name in self.parameters:
                self.parameters[name].show(value)
        if "parameterization" in values:
            self._offer(values["parameterization"] == CODES)

    def _offer(self, codes: bool) -> None:
        """Only what acts on the image is seen."""
        self.codes.visible = codes
        for name, control in self.parameters.items():
            if not PARAMS[name].codes:
                control.widget.visible = not codes

    def offer_models(self, groups: Mapping[str, list[str]]) -> None:
        """The networks to choose from, by heading."""
        options = {
            plain(head, markup=False): [(n, plain(n, markup=False)) for n in names] for head, names in groups.items()
        }
        current = self.model.value
        if current and not any(current == name for names in groups.values() for name in names):
            options = {"Now": [(current, plain(current, markup=False))], **options}
        self.model.options = options

    def offer_layers(self, paths: list[str]) -> None:
        """The layers that the search finds."""
        self.layer.completions = [plain(path, markup=False) for path in paths]


def _named(name: str, help: str) -> dict[str, Any]:
    attributes = _attributes(name, name.capitalize(), help)
    return {"name": f"control-{name}", "html_attributes": attributes, "sizing_mode": "stretch_width"}


def _values(options: Any) -> set[str]:
    entries = [entry for group in options.values() for entry in group] if isinstance(options, dict) else options
    return {entry if isinstance(entry, str) else entry[0] for entry in entries}


def _with(options: Any, name: str) -> Any:
    entry = (name, plain(name, markup=False))
    return {"Now": [entry], **options} if isinstance(options, dict) else [*options, entry]
