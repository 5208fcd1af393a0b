"""Names are shown, not run."""

from __future__ import annotations

import pytest
from bokeh.models import Div
from hypothesis import given
from hypothesis import strategies as st

from app.intents import SESSION
from app.keys import KEYS, markdown, table
from app.notices import from_error, plain
from app.pages import PAGES
from app.pages.ascent_intents import INTENTS
from vizcore.errors import LayerError
from vizcore.spec import PRESETS


@given(st.text())
def test_no_markup_no_tex_no_control_characters(text: str) -> None:
    shown = plain(text)
    assert not set(shown) & set("<>\"'")
    assert all(delimiter not in shown for delimiter in ("$$", "\\(", "\\["))
    assert shown.isprintable()


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "$$x$$<b>", "\u202eevil", "a\x00b", "$\\($$x"])
def test_known_tricks(text: str) -> None:
    assert "<" not in Div(text=plain(text)).text
    assert "\u202e" not in plain(text)
    assert "$$" not in plain(text, markup=False)


def test_long_names_are_cut() -> None:
    assert len(plain("x" * 5000)) == 200


def test_an_error_is_a_cause_a_remedy_and_a_button() -> None:
    told = from_error(LayerError("No such layer.", "Search."), {"label": "Again", "do": "restart"})
    assert (told["message"], told["hint"], told["action"]["do"]) == ("No such layer.", "Search.", "restart")


def test_the_unforeseen_shows_nothing_of_its_inside() -> None:
    told = from_error(ValueError("/home/secret"))
    assert "secret" not in str(told)


def test_every_key_does_something_once() -> None:
    for page in PAGES:  # keys of every page are in the way of none of a page's own
        pressed = [name for key in KEYS if key.page in ("", page) for name in key.keys]
        assert len(pressed) == len(set(pressed))
    assert {key.do for key in KEYS if not key.local} <= set(INTENTS) | set(SESSION)
    assert [key.args["name"] for key in KEYS if key.do == "preset"] == list(PRESETS)[:9]
    assert all(set(row) == {"keys", "do", "args", "help", "group", "local", "page"} for row in table())
    assert markdown().count("\n") == len(KEYS) + 1
