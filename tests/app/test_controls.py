"""Widgets equal the metadata, and what they send is brought into range."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import pytest
from bokeh.models import Model, Select, Slider, Spinner
from hypothesis import given
from hypothesis import strategies as st

import app
from app.controls import Controls, from_position, log_range, to_position
from vizcore.spec import PARAMS, PRESETS

SHOWN = [name for name, meta in PARAMS.items() if meta.group != "dream"]
LOG = [name for name, meta in PARAMS.items() if meta.log]


@pytest.fixture
def asked() -> list[tuple[str, Any]]:
    return []


@pytest.fixture
def controls(asked: list[tuple[str, Any]]) -> Controls:
    return Controls(lambda name, value: asked.append((name, value)))


def test_every_parameter_has_a_named_widget(controls: Controls) -> None:
    found = {
        model.html_attributes["data-testid"]: model
        for model in controls.root.references()
        if isinstance(model, Model) and getattr(model, "html_attributes", None)
    }
    extra = {"preset", "model", "layer", "filters", "objective", "dice", "advanced"}
    assert set(found) == {f"control-{name}" for name in {*SHOWN, *extra}}
    for widget in found.values():
        assert widget.html_attributes["aria-label"]
        assert widget.html_attributes["title"]


def test_only_what_acts_on_the_image_is_seen(controls: Controls) -> None:
    for image, codes in (("fourier", False), ("generator", True), ("pixel", False)):
        controls.show_values({"parameterization": image, "size": 64})
        assert controls.codes.visible == codes
        idle = {name for name in SHOWN if not PARAMS[name].codes}
        assert {"blur", "size", "policy"} <= idle
        assert {name for name in SHOWN if not controls.parameters[name].widget.visible} == (idle if codes else set())
    controls.show_values({"rate": 0.1})  # says nothing of the image
    assert not controls.codes.visible


@pytest.mark.parametrize("name", SHOWN)
def test_range_default_and_help_come_from_the_metadata(controls: Controls, name: str) -> None:
    meta, control = PARAMS[name], controls.parameters[name]
    widget = control.widget
    assert control.value == pytest.approx(meta.default) if meta.log else control.value == meta.default
    assert widget.html_attributes["title"] == meta.help
    if isinstance(widget, Slider) and not meta.log:
        assert widget.start <= meta.minimum < widget.start + meta.step
        assert (widget.end, widget.step) == (meta.maximum, meta.step)
    if isinstance(widget, Slider) and meta.log:
        assert from_position(meta, widget.start) == meta.minimum
        assert from_position(meta, widget.end) == meta.maximum
    if isinstance(widget, Spinner):
        assert (widget.low, widget.high) == (meta.minimum, meta.maximum)
    if isinstance(widget, Select):
        assert tuple(widget.options) == meta.choices


@pytest.mark.parametrize("name", LOG)
@given(data=st.data())
def test_a_log_slider_reads_back_what_it_shows(name: str, data: st.DataObject) -> None:
    meta = PARAMS[name]
    low, high = log_range(meta)
    smallest = 10 ** (low + 0.01)
    numbers = st.floats(smallest, meta.maximum)
    if meta.kind == "int":
        numbers = st.integers(int(meta.minimum), int(meta.maximum)).map(float)
    value = data.draw(st.one_of(numbers, st.just(max(meta.minimum, 0.0))))
    back = from_position(meta, to_position(meta, value))
    assert back == pytest.approx(value, rel=0.006)  # three digits
    assert low <= to_position(meta, value) <= high


@pytest.mark.parametrize("name", list(PARAMS))
@given(value=st.one_of(st.floats(), st.integers(-(10**12), 10**12), st.text(max_size=20), st.none(), st.booleans()))
def test_whatever_the_page_sends_is_brought_into_range(name: str, value: object) -> None:
    meta = PARAMS[name]
    result = from_position(meta, value) if meta.log else meta.clamp(value)
    assert meta.coerce(result) == result


@pytest.mark.parametrize(("sent", "got"), [(1e12, 512), (-5.0, 16), (math.inf, 512), (math.nan, 128)])
def test_a_slider_out_of_range_is_clamped(
    controls: Controls, asked: list[tuple[str, Any]], sent: float, got: int
) -> None:
    controls.parameters["size"].widget.value = sent
    assert asked[-1:] in ([("size", got)], [])  # NaN equals nothing: Bokeh may not see a change
    assert controls.parameters["size"].value == got


def test_showing_tells_nobody(controls: Controls, asked: list[tuple[str, Any]]) -> None:
    controls.show_values({"rate": 0.5, "size": 64, "optimizer": "ascent", "decorrelate": False, "seed": 7})
    controls.show(preset="Raw", model="digits", layer="conv1", filters="0-3", objective="neuron")
    assert asked == []
    assert controls.parameters["seed"].value == 7
    assert controls.parameters["rate"].value == 0.5


def test_a_slider_is_not_moved_to_the_digits_of_the_value_it_stands_for(controls: Controls) -> None:
    rate = controls.parameters["rate"]
    rate.widget.value = -1.05  # 0.0891, whose exponent is -1.0501
    controls.show_values({"rate": rate.value})
    assert rate.widget.value == -1.05
    controls.show_values({"rate": 0.0902})
    assert rate.widget.value == pytest.approx(math.log10(0.0902))


def test_changes_are_told(controls: Controls, asked: list[tuple[str, Any]]) -> None:
    controls.parameters["tv"].widget.value = controls.parameters["tv"].widget.start
    controls.parameters["tv"].widget.value = -2.0
    controls.preset.value = list(PRESETS)[2]
    controls.filters.value = "0-3"
    assert asked == [("tv", 0.01), ("preset", "Raw"), ("filters", "0-3")]


def test_no_range_of_a_parameter_is_written_in_the_app() -> None:
    numbers = {
        float(bound)
        for meta in (PARAMS[name] for name in SHOWN)
        for bound in (meta.minimum, meta.maximum)
        if math.isfinite(bound) and abs(bound) not in (0, 1, 2, 3, 16, 100)
    }
    path = Path(app.__file__).parent / "controls.py"
    literals = {
        float(node.value)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
    }
    assert not (literals - {10_000.0}) & numbers
