"""Pages of pictures are made again part by part, and hold a part for each picture that they keep."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import gallery, gallery_dreams, gallery_generators, pages
from benchmarks.pages import Made, enlarged, rebuild, sections

SHADE = np.full((4, 4, 3), 90, np.uint8)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pages, "FOLDER", tmp_path / "gallery")
    return tmp_path / "page.md"


def test_a_part_is_made_again_and_the_others_stay(page: Path) -> None:
    made = {"one-a": Made("One", "first", SHADE), "one-b": Made("Two", "first", "| a table |"), "two": None}
    parts = {key: lambda key=key: made[key] for key in made}
    assert rebuild(page, "# Page\n", parts, []) == 0
    assert list(sections(page.read_text())) == ["one-a", "one-b"]  # what gives nothing has no part
    assert "(gallery/one-a.webp)" in page.read_text()
    Image.open(page.parent / "gallery" / "one-a.webp").verify()
    made |= {"one-a": Made("One", "second", SHADE), "one-b": Made("Two", "second", "-"), "two": Made("3", "", "-")}
    assert rebuild(page, "# Page, anew\n", parts, ["one-b", "two"]) == 0
    found = sections(page.read_text())
    assert list(found) == ["one-a", "one-b", "two"]
    assert "first" in found["one-a"]
    assert "second" in found["one-b"]
    assert page.read_text().startswith("# Page, anew\n")
    assert rebuild(page, "# Page\n", parts, ["one"]) == 0
    assert "second" in sections(page.read_text())["one-a"]
    before = page.read_text()
    assert rebuild(page, "# Page\n", parts, ["on"]) == 2
    assert page.read_text() == before


def test_small_pictures_grow_by_whole_factors_first() -> None:
    tile = np.zeros((2, 2, 1), np.uint8)
    tile[0, 0] = 200
    large = enlarged([tile], 8)
    assert large.shape == (1, 8, 8, 3)
    assert (large[0, :4, :4] == 200).all()
    assert (large[0, 4:] == 0).all()
    assert enlarged([np.zeros((20, 20, 3), np.uint8)], 8).shape == (1, 8, 8, 3)


@pytest.mark.parametrize("module", [gallery, gallery_dreams, gallery_generators])
def test_what_a_page_shows_can_be_made_again(module: object) -> None:
    page = Path(module.PAGE)  # type: ignore[attr-defined]
    text = page.read_text(encoding="utf-8")
    found = sections(text)
    assert found
    assert set(found) <= set(module.PARTS)  # type: ignore[attr-defined]
    for key, part in found.items():
        assert re.findall(r"\((gallery/[^)]+)\)", part) in ([], [f"gallery/{key}.webp"])


def test_every_picture_of_the_gallery_is_on_a_page() -> None:
    shown = {name for page in pages.DOCS.glob("*.md") for name in re.findall(r"gallery/([\w.-]+)", page.read_text())}
    assert {path.name for path in (pages.DOCS / "gallery").iterdir()} <= shown
