"""The page Image: which networks it offers, and what it says when one cannot be had."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.app.conftest import Visit
from vizcore.errors import ModelError

Make = Callable[..., Visit]


def told(here: Visit, name: str) -> Any:
    text = getattr(here.session.pages["image"].state, name)
    return json.loads(text) if text else None


def test_nothing_is_asked_before_the_page_is_seen(visit: Make) -> None:
    here = visit("page=library").arrive()
    assert not here.calls("methods")
    here.ask("page", name="image")
    here.go()
    assert told(here, "network")["model"] == "imagenette-robust"
    assert told(here, "models") == {"Bundled": ["imagenette-robust", "digits"], "Fetched when chosen": ["resnet18"]}


def test_the_address_names_the_network(visit: Make) -> None:
    here = visit("page=image&model=digits&layer=conv1").arrive()
    network = told(here, "network")
    assert (network["model"], network["grey"], network["size"]) == ("digits", True, 28)
    assert [layer["path"] for layer in network["layers"]] == ["conv1", "conv2"]
    assert next(method for method in network["methods"] if method["name"] == "lrp")["why"]


def test_a_network_that_cannot_be_had_leaves_the_one_before(visit: Make) -> None:
    here = visit("page=image").arrive()
    for wrong in ("../../etc/passwd", "nonsense", "/tmp/x.pth"):
        here.ask("network", page="image", model=wrong)
        here.go()
        assert here.told("notice")["kind"] == "error"
    here.engine.fail["describe"] = ModelError("Its weights are not here.", "Fetch them.")
    before = told(here, "network")["n"]
    here.ask("network", page="image", model="resnet18")
    here.go()
    assert here.told("notice")["message"] == "Its weights are not here."
    assert told(here, "network")["model"] == "imagenette-robust"
    assert told(here, "network")["n"] > before  # the list must show it again


def test_a_wrong_address_leads_to_the_bundled_network(visit: Make) -> None:
    here = visit("page=image&model=nonsense").arrive()
    assert told(here, "network")["model"] == "imagenette-robust"
    assert "nonsense" in here.told("notice")["message"]
