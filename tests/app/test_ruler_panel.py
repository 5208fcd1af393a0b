"""The ruler on the page Generators: what is asked of the engine, what is told as it goes, and the files to keep."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from app import measuring
from app.sources import EXAMPLES, FOLDER, Sources
from tests.app.conftest import Visit
from tests.app.fake_ruler import length
from vizcore.engine import Comparison
from vizcore.errors import PictureError
from vizcore.rulertable import COLUMNS, METHODS, REAL
from vizcore.zoo import download

Make = Callable[..., Visit]


def told(here: Visit, name: str) -> Any:
    text = getattr(here.session.pages["generators"].state, name)
    return json.loads(text) if text else None


@pytest.fixture
def here(visit: Make, tmp_path: Path) -> Visit:
    found = visit("page=generators&model=digits")
    found.hub.sources = Sources([str(tmp_path)])
    return found.arrive()


def measure(here: Visit, **fields: Any) -> Visit:
    wish = {"generator": "digits-generator", "targets": "3,7", "methods": ["ppgn", "fourier", "evil"],
            "pictures": EXAMPLES, "seeds": 2, "steps": 5, "most": 4}  # fmt: skip
    here.ask("measure", page="generators", **{**wish, **fields})
    return here.go()


def ended(here: Visit) -> Visit:
    for _ in range(20):
        here.engine.finish()
        here.go()
    return here


def test_methods_are_measured_one_after_the_other(here: Visit) -> None:
    measure(here)
    wanted = Comparison("digits", None, "", (3, 7), "digits-generator", source=str(FOLDER), most=4, steps=5)
    assert here.calls("measure") == [(wanted, REAL)]  # the next waits for it
    now = told(here, "ruler")
    assert (now["state"], now["method"], now["share"], now["table"]) == ("running", REAL, 0.17, [])
    here.engine.finish()
    here.go()
    assert here.calls("measure")[1:] == [(wanted, "fourier")]  # in the ruler's order, and nothing unknown
    assert [row["method"] for row in told(here, "ruler")["table"]] == [REAL]
    now = told(ended(here), "ruler")
    assert (now["state"], [row["method"] for row in now["table"]]) == ("done", [REAL, "fourier", "ppgn"])
    two = [length("ppgn", unit, wanted).activation for unit in (3, 7)]
    assert now["table"][2]["activation"] == pytest.approx(sum(two) / 2)
    assert now["table"][2]["activation_sd"] == pytest.approx((two[1] - two[0]) / 2)
    assert now["facts"]["notes"] == ["No other network judges, so transfer is left out."]
    found = here.hub.rulers.get(now["id"])
    assert found is not None
    assert found.tiles[REAL][8:12] == b"WEBP"
    facts = json.loads(found.text("json"))
    assert (facts["units"], facts["real"], len(facts["units_table"])) == ([3, 7], 4, 6)
    rows = list(csv.DictReader(io.StringIO(found.text("csv"))))
    assert list(rows[0]) == ["method", "unit", *COLUMNS]
    assert (rows[5]["method"], rows[5]["unit"], rows[5]["transfer"]) == ("ppgn", "7", "")
    assert "Fourier" not in ElementTree.fromstring(found.text("svg")).attrib["aria-label"]


def test_what_is_stopped_keeps_its_rows_and_another_address_shows_them(here: Visit, visit: Make) -> None:
    measure(here)
    here.engine.finish()
    here.go()
    here.ask("stop", page="generators")
    now = told(here.go(), "ruler")
    assert (now["state"], [row["method"] for row in now["table"]]) == ("stopped", [REAL])
    assert ("cancel", "measure") in here.engine.calls
    assert len(here.calls("measure")) == 2
    other = visit(f"page=generators&ruler={now['id']}").arrive()
    assert told(other, "ruler")["table"] == now["table"]
    assert told(visit("page=generators&ruler=nothing-here").arrive(), "ruler") is None


def test_what_is_missing_is_said_and_the_rest_is_measured(here: Visit) -> None:
    measure(here, generator="", pictures="", layer="conv2", judge="imagenette-robust")
    now = told(ended(here), "ruler")
    assert [method for _, method in here.calls("measure")] == ["fourier"]
    assert len(now["facts"]["notes"]) == 3
    assert here.calls("measure")[0][0].judge == ""
    assert now["table"][0]["nearest"] is None
    measure(here)
    here.engine.finish()
    here.go()
    here.engine.fail["measure"] = PictureError("Memory is short.", "Try fewer.")
    now = told(ended(here), "ruler")
    assert (now["state"], now["error"]) == ("failed", "Memory is short. Try fewer.")  # of the last one
    assert now["facts"]["notes"][-1] == "Fourier is left out: Memory is short."


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"targets": "12"}, "no class 12"), ({"methods": ["ppgn"], "generator": ""}, "No method is chosen"),
        ({"methods": "all"}, "No method"), ({"pictures": "/etc"}, "does not open"), ({"judge": "/tmp/x"}, "no model"),
        ({"generator": "../x"}, "no generator"), ({"targets": "0-9", "seeds": 8}, "too many"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_computed(here: Visit, wrong: dict[str, Any], words: str) -> None:
    measure(here, **wrong)
    assert words in here.told("notice")["message"]
    assert not here.calls("measure")


def test_whatever_the_page_sends_is_brought_into_range(here: Visit) -> None:
    measure(here, seeds=-4, steps=10**9, most="many", fit="evil")
    wanted = here.calls("measure")[0][0]
    assert (wanted.seeds, wanted.steps, wanted.most, wanted.fit) == (1, 8192, 500, "exact")


def test_the_form_begins_with_what_is_at_hand(
    here: Visit, visit: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(download, "folder", lambda: tmp_path / "weights")
    offers = told(here, "offers")
    assert [one["name"] for one in offers["methods"]] == list(METHODS)
    assert (offers["first"], offers["why"]) == (str(tmp_path), "")  # a folder that the server was started with
    told_of = {"model": "digits", "classes": list("0123456789"), "grey": True, "size": 28}
    card = {"data": "MNIST (LeCun, Cortes, Burges 1998)"}
    here.hub.sources = Sources()
    plain = measuring.offered(here.hub, told_of, card, [], [])
    assert plain["first"] == ""
    assert "mnist to fetch it" in plain["why"]
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    (tmp_path / "data" / "mnist" / "t10k-images-idx3-ubyte.gz").touch()
    assert measuring.offered(here.hub, told_of, card, [], [])["first"] == "mnist"
    large = {"model": "resnet18", "classes": list(map(str, range(1000))), "grey": False, "size": 224}
    rows = [{"name": name, "source": "torchvision", "on_disk": name == "vgg16", "classes": 1000}
            for name in ("resnet18", "alexnet", "vgg16")]  # fmt: skip
    found = measuring.offered(here.hub, large, {}, rows, ["/x"])
    assert (found["first"], found["judge"]) == (EXAMPLES, "vgg16")
    assert [one["name"] for one in found["judges"]] == ["alexnet", "vgg16"]


def test_a_judge_has_the_same_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vizcore.zoo import card as cards

    own = cards.bundled()
    monkeypatch.setattr(cards, "trained", lambda: {"own:mine": own["digits"], "own:others": own["cifar10"]})
    told_of = {"model": "digits", "classes": list("0123456789")}
    assert measuring.judges(told_of, []) == [{"name": "own:mine", "here": True}]
