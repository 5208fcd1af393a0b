"""Cards: read back as written, refused when they make no sense, read without torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vizcore.errors import ModelError
from vizcore.zoo.card import Card, bundled, default_size, from_dict, read, to_dict

CARD = Card(
    "toy", "Toy", "small-resnet", {"classes": 2}, 3, 64, (0.1, 0.2, 0.3), (1.0, 1.0, 0.5), ("cat", "dog"),
    "block2", (3, 1), "bundled", "ab12", {"accuracy": 0.9, "seed": 3},
)  # fmt: skip


def test_a_card_is_read_back_from_json() -> None:
    assert from_dict(json.loads(json.dumps(to_dict(CARD)))) == CARD


@pytest.mark.parametrize("change", [
    {"channels": 2}, {"channels": "3"}, {"mean": [0.1]}, {"std": [1, 1, 0]}, {"std": [1, 1, float("nan")]}, {"size": 0},
    {"size": 64.5}, {"size": 10**9}, {"mean": None}, {"mean": ["a", "b", "c"]}, {"classes": 7}, {"showcase": [1]},
    {"arch_options": "x"},
])  # fmt: skip
def test_nonsense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="card cannot be used"):
        from_dict({**to_dict(CARD), **change})


@pytest.mark.parametrize("key", ["name", "arch", "channels", "size", "mean", "std", "classes"])
def test_a_missing_key_is_named(key: str) -> None:
    data = to_dict(CARD)
    del data[key]
    with pytest.raises(ModelError, match=f"{key} is missing"):
        from_dict(data)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\x00"])
def test_files_that_are_no_cards(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(ModelError) as caught:
        read(tmp_path / "card.json")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("name", bundled())
def test_bundled_cards_tell_the_truth_about_their_files(name: str) -> None:
    folder = bundled()[name]
    card, weights = read(folder / "card.json", "bundled"), folder / "weights.safetensors"
    assert card.name == name
    assert card.source == "bundled"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == card.facts["sha256"]
    for fact in ("data", "recipe", "command", "seed", "accuracy", "licence"):
        assert card.facts[fact] not in ("", None)
    assert (folder / "train.py").is_file() or "site-packages" in str(folder)


def test_digits_is_small_and_good() -> None:
    folder = bundled()["digits"]
    assert (folder / "weights.safetensors").stat().st_size < 1_000_000
    assert read(folder / "card.json").facts["accuracy"] >= 0.99


def test_default_sizes() -> None:
    sizes = [
        (28, "cpu", 56),
        (64, "cpu", 128),
        (64, "cuda", 128),
        (96, "cpu", 128),
        (224, "cpu", 128),
        (224, "cuda", 224),
    ]
    for own, device, expected in sizes:
        assert default_size(dataclasses.replace(CARD, size=own), device) == expected
    fixed = dataclasses.replace(CARD, size=224, facts={"fixed_size": True})
    assert default_size(fixed, "cpu") == 224


def test_cards_need_no_torch() -> None:
    code = "import sys, vizcore.zoo.card, vizcore.zoo; vizcore.zoo.bundled(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
