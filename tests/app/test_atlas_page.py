"""The atlases that pages may open: how they are listed, and what is had from them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from app.atlases import Atlases
from tests.app import fake_atlas
from vizcore.errors import ExportError


def test_atlases_of_the_home_and_of_the_options_are_listed_by_id(tmp_path: Path) -> None:
    fake_atlas.make(tmp_path / "home" / "atlases" / "one", {"a": 3, "b": 2})
    fake_atlas.make(tmp_path / "x y" / "one", {"a": 4})
    (tmp_path / "home" / "atlases" / "broken").mkdir()
    (tmp_path / "home" / "atlases" / "broken" / "atlas.json").write_text("{")
    atlases = Atlases(tmp_path / "home", str(tmp_path / "x y" / "one"))
    assert [(one["id"], one["filters"]) for one in atlases.list()] == [("one", 3), ("one-", 3)]
    about = atlases.about("one-")
    assert [(layer["layer"], layer["done"], layer["failed"]) for layer in about["layers"]] == [("a", 2, 1), ("b", 1, 1)]
    assert about["layers"][0]["units"][2]["error"] == "The worker died of this filter."
    before = atlases.list()[1]["version"]
    fake_atlas.make(tmp_path / "home" / "atlases" / "one", {"a": 3, "b": 2, "c": 2})
    assert atlases.list()[1]["version"] != before  # it grows
    assert len(atlases.about("one-")["layers"]) == 3


def test_pictures_are_had_by_address_only(tmp_path: Path) -> None:
    head = fake_atlas.make(tmp_path / "atlases" / "one", {"a": 3})
    atlases = Atlases(tmp_path)
    address = head.address("a", 1)
    with Image.open(io.BytesIO(atlases.tile("one", address))) as picture:
        assert (picture.size, picture.getpixel((0, 0))) == ((64, 64), (37, 91, 0))
    with Image.open(io.BytesIO(atlases.thumbnail("one", address))) as picture:
        assert picture.format == "WEBP"
    assert atlases.recipe("one", address).channel == 1
    for ident, name in (("two", address), ("one", "0" * 40), ("one", "../../atlas"), ("../one", address)):
        with pytest.raises(ExportError):
            atlases.tile(ident, name)


def test_what_lies_beside_a_filter_is_had_by_layer_and_number(tmp_path: Path) -> None:
    fake_atlas.make(tmp_path / "atlases" / "one", {"a": 6, "b/c": 6})
    fake_atlas.beside(tmp_path / "atlases" / "one", "b/c", range(2, 4), "a")
    atlases = Atlases(tmp_path)
    found = atlases.unit("one", "b/c", 2)
    assert set(found) == {"steps", "patches", "deconv", "weights", "similar"}
    assert found["weights"]["kernels"][0]["sources"][0]["origins"] == [["a", 2]]
    assert atlases.unit("one", "a", 2) == {}
    units = {layer["layer"]: layer["units"] for layer in atlases.about("one")["layers"]}
    numbers = ("end", "peak", "highest", "mean", "off", "selectivity", "strongest", "nearest")
    assert [units["b/c"][3].get(name) for name in numbers] == [3.0, 12.0, 6.0, 0.5, 0.25, 0.7, 0.8, 0.9]
    assert [units["a"][3].get(name) for name in numbers] == [3.0, 12.0, *[None] * 6]
    for ident, layer, channel in (("one", "a", 99), ("one", "z", 0), ("two", "a", 0)):
        with pytest.raises(ExportError):
            atlases.unit(ident, layer, channel)
