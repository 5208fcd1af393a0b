"""An address gives its spec back, and nothing in an address can do harm."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.permalink import decode, encode
from vizcore.errors import SpecError
from vizcore.params import Param
from vizcore.spec import PARAMS, PRESETS, RunSpec, build


def values(meta: Param) -> st.SearchStrategy[object]:
    if meta.kind == "bool":
        return st.booleans()
    if meta.kind == "choice":
        return st.sampled_from(meta.choices)
    if meta.kind == "int":
        return st.integers(int(meta.minimum), int(meta.maximum))
    return st.floats(meta.minimum, meta.maximum)


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30)


def changed(spec: RunSpec, changes: dict[str, object]) -> RunSpec:
    """A dream has one filter, and a step for each octave at least."""
    if changes.get("octaves"):
        changes = {**changes, "channels": spec.channels[:1], "steps": 8192, "zoom_frames": 8, "zoom_steps": 5}
    return spec.replace(**changes)


specs = st.builds(
    build,
    model=names,
    layer=st.one_of(st.just(""), names),
    channels=st.lists(st.integers(0, 5000), min_size=1, max_size=64, unique=True),
    preset=st.sampled_from(list(PRESETS)),
    arch=st.one_of(st.none(), names),
    objective=st.sampled_from(["channel", "-neuron(3,4)", "channel - 0.1*layer", "class(3)"]),
    source=st.sampled_from(["", "ab" * 12]),
    generator=st.one_of(st.just(""), names),
    mask=st.sampled_from(["", "cd" * 12]),
).flatmap(
    lambda spec: st.fixed_dictionaries({}, optional={name: values(meta) for name, meta in PARAMS.items()}).map(
        lambda changes: changed(spec, changes)
    )
)


@settings(max_examples=150, deadline=None)
@given(specs)
def test_round_trip(spec: RunSpec) -> None:
    address = decode(encode(spec, "20261120-191100-4f2a9c"))
    assert address.run == "20261120-191100-4f2a9c"
    assert address.spec() == spec


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_an_address_or_a_sentence(text: str) -> None:
    address = decode("filters=" + text + "&rate=" + text + "&" + text)
    with contextlib.suppress(SpecError):
        address.spec(model="digits", layer="conv1", channels=(0,))


def test_what_is_missing_comes_from_the_defaults() -> None:
    spec = decode("layer=conv1&rate=0.1").spec(model="digits", layer="conv2", channels=(1, 2), size=56)
    assert dataclasses.asdict(spec) == dataclasses.asdict(build("digits", "conv1", (1, 2), rate=0.1, size=56))


def test_request_arguments_read_like_the_query() -> None:
    assert decode({"filters": [b"0-3"], "autostart": [b"0"], "evil": [b"x"], "run": [b""]}) == decode(
        "filters=0-3&autostart=0"
    )
    assert not decode("autostart=0").autostart
    assert [decode(f"step={text}").step for text in ("7", "-1", "1e3", "9" * 20, "")] == [7, None, None, None, None]
    assert decode("").empty


def test_an_address_stays_short() -> None:
    assert encode(build("digits", "conv2", range(16))) == "model=digits&layer=conv2&filters=0-15&preset=Crisp&size=128"


def test_a_bad_number_is_a_sentence() -> None:
    with pytest.raises(SpecError, match="out of range"):
        decode("rate=1e309").spec(model="digits", layer="conv1", channels=(0,))
