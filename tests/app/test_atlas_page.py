"""The page Atlas: what it lists, what its addresses give, and that a picture comes to life from its recipe."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from app.atlases import Atlases
from app.hub import Hub
from tests.app import fake_atlas
from tests.app.conftest import Visit
from tests.app.fake import LAYERS
from tests.app.test_travels import settle
from vizcore.errors import ExportError

Make = Callable[..., Visit]
LAYER = str(LAYERS[0]["path"])


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


def test_the_page_says_what_there_is_and_a_picture_goes_on_live(visit: Make, hub: Hub) -> None:
    here = visit().arrive()
    head = fake_atlas.make(hub.library.home / "atlases" / "one", {LAYER: 5})
    here.ask("page", name="atlas")
    settle(here.go(0.1))
    page = here.session.pages["atlas"]
    [told] = json.loads(page.state.atlases)
    assert (told["id"], told["filters"]) == ("one", 4)
    here.ask("live", page="atlas", atlas="one", tile=head.address(LAYER, 2))
    settle(here)
    assert here.session.here == "ascent"
    spec = here.page.pilot.wanted
    assert spec is not None
    assert (spec.layer, spec.channels, spec.size) == (LAYER, (2,), 64)
    here.ask("live", page="atlas", atlas="../one", tile="0" * 40)
    settle(here)
    assert here.told("notice")["kind"] == "error"
