"""Objectives against sums written out by hand, the grammar, and its errors."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import network
from vizcore import objectives
from vizcore.errors import LayerError, SpecError
from vizcore.objectives import Objective, parse

MAPS = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 4, 5, 7)).astype(np.float32))  # not square
LOGITS = torch.from_numpy(np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32))
ACTIVATIONS = {"a": MAPS, "0": 2 * MAPS, "": LOGITS}
ROWS = (2, 0, 3)


def value(text: str) -> np.ndarray:
    return parse(text, "a", ROWS, network().card)(ACTIVATIONS).numpy()


def by_hand(text: str) -> list[float]:
    maps, logits = MAPS.double().numpy(), LOGITS.double().numpy()
    rows = list(enumerate(ROWS))
    return {
        "channel": [maps[i, c].mean() for i, c in rows],
        "channel(1)": [maps[i, 1].mean() for i, _ in rows],
        "neuron": [maps[i, c, 2, 3] for i, c in rows],
        "neuron(4, 6)": [
            maps[i, c, 4, 6] for i, c in rows
        ],  # row 4 of 5, column 6 of 7: the other way round there is none
        "neuron(1, 0, 5)": [maps[i, 1, 0, 5] for i, _ in rows],
        "layer": [(maps[i] ** 2).mean() for i, _ in rows],
        "class": [logits[i, c] for i, c in rows],
        "class(5)": [logits[i, 5] for i, _ in rows],
    }[text]


@pytest.mark.parametrize(
    "text", ["channel", "channel(1)", "neuron", "neuron(4, 6)", "neuron(1, 0, 5)", "layer", "class", "class(5)"]
)
def test_each_kind_is_what_it_says(text: str) -> None:
    np.testing.assert_allclose(value(text), by_hand(text), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(value(f"-{text}"), -value(text))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("channel + 2*channel(3)", [(1, "channel"), (2, "channel(3)")]),
        ("2*channel+channel(3)", [(2, "channel"), (1, "channel(3)")]),
        ("0.5 * neuron(4,6) - 1e-1*layer - class", [(0.5, "neuron(4, 6)"), (-0.1, "layer"), (-1, "class")]),
        ("- .25*channel", [(-0.25, "channel")]),
    ],
)
def test_sums_are_exact(text: str, parts: list[tuple[float, str]]) -> None:
    np.testing.assert_allclose(value(text), sum(w * value(part) for w, part in parts), rtol=1e-6, atol=1e-7)


def test_objectives_add_and_scale() -> None:
    one, two = objectives.channel("a", ROWS), objectives.neuron("a", [1], (4, 6))
    both = one + 2 * two - 0.5 * objectives.layer("a")
    expected = np.array(by_hand("channel")) + 2 * MAPS[:, 1, 4, 6].numpy() - 0.5 * np.array(by_hand("layer"))
    np.testing.assert_allclose(both(ACTIVATIONS).numpy(), expected, rtol=1e-5)
    np.testing.assert_array_equal((-one)(ACTIVATIONS), -one(ACTIVATIONS))
    assert both.layers == ("a",)


def test_paths_come_first_even_if_they_are_numbers() -> None:
    np.testing.assert_allclose(value("channel(0, 3)"), 2 * value("channel(3)"))
    np.testing.assert_allclose(value("neuron(0, 1, 4, 6)"), 2 * value("neuron(1, 4, 6)"))
    np.testing.assert_allclose(value("layer(0)"), 4 * value("layer"), rtol=1e-6)
    assert parse("channel(features.3, 1) + class", "a", ROWS).layers == ("features.3", "")


def test_a_class_may_be_named() -> None:
    np.testing.assert_array_equal(value("class(A Cat)"), value("class(0)"))
    with pytest.raises(SpecError, match="Did you mean a cat"):
        value("class(a cot)")


def test_directions_are_unit_vectors_one_for_each_number() -> None:
    flat = torch.eye(4)[:, :, None, None].expand(
        4, 4, 2, 2
    )  # row i has a 1 in channel i: its score is the vector's entry i
    first, second = (objectives.direction("a", [number])({"a": flat}).numpy() for number in (0, 1))
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-6)
    assert abs(first @ second) < 0.999
    np.testing.assert_array_equal(first, objectives.direction("a", [0])({"a": flat}).numpy())


def test_dense_layers_and_tokens_have_channels_too() -> None:
    vectors, tokens = torch.arange(12.0).view(3, 4), torch.arange(24.0).view(2, 3, 4)
    np.testing.assert_array_equal(objectives.channel("a", (2, 0, 3))({"a": vectors}), [2.0, 4.0, 11.0])
    np.testing.assert_array_equal(objectives.channel("a", (1, 2))({"a": tokens}), [5.0, 18.0])
    with pytest.raises(LayerError, match="no channels"):
        objectives.channel("a", (0,))({"a": torch.zeros(3)})


@pytest.mark.parametrize(
    "text",
    ["", " ", "chanel", "channel channel", "channel +", "channel + + layer", "2channel", "channel(1",
     "channel(1, 2, 3)", "neuron(1)", "neuron(-1, 2)", "channel()x", "1e999*channel", "channel(a b, )", "*channel",
     "eval(1)"],
)  # fmt: skip
def test_what_cannot_be_read_is_a_spec_error(text: str) -> None:
    with pytest.raises(SpecError) as error:
        parse(text, "a", ROWS)
    assert error.value.hint


@given(st.text(max_size=40))
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(SpecError):
        assert isinstance(parse(text, "a", ROWS), Objective)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("channel(4)", "0 to 3"),
        ("class(6)", "0 to 5"),
        ("neuron(5, 0)", "rows 0 to 4"),
        ("neuron(0, 7)", "columns 0 to 6"),
    ],
)
def test_out_of_range_names_the_range(text: str, names: str) -> None:
    with pytest.raises(LayerError, match=names):
        parse(text, "a", ROWS).check(ACTIVATIONS)


def test_in_range_passes() -> None:
    parse("channel(3) + class(5) + neuron(4, 6) + direction(99)", "a", ROWS).check(ACTIVATIONS)
