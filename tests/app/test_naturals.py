"""What real pictures say of the shown one, on the page Ascent and as a ranking of its sweeps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from app.sources import EXAMPLES, FOLDER
from tests.app.conftest import Visit
from vizcore.engine import Place
from vizcore.errors import PictureError

Make = Callable[..., Visit]
QUERY = "model=imagenette-robust&layer=block2&filters=0-3&size=32&steps=64"


def scanned(here: Visit, layer: str = "block2", source: str = str(FOLDER)) -> None:
    here.engine.passed[Place("imagenette-robust", None, layer, source)] = 4


def test_nothing_is_compared_before_pictures_were_looked_through(visit: Make) -> None:
    here = visit(QUERY).arrive().go(turns=3)
    here.ask("pause")
    here.go(1)
    assert here.told("real") == {
        "model": "imagenette-robust", "layer": "block2", "data": "", "only": "", "done": 0, "pictures": 0
    }  # fmt: skip
    assert not here.calls("natural")
    assert not here.calls("scan")


def test_a_picture_that_rests_is_compared(visit: Make) -> None:
    here = visit(QUERY)
    scanned(here)
    here.arrive().go(turns=3)
    assert here.told("real")["data"] == EXAMPLES
    here.go(1, turns=20)
    assert not here.calls("natural")  # not while it moves
    here.ask("pause")
    here.go(1)
    run, step = here.page.pilot.run, here.page.pilot.reader.latest()
    assert here.calls("natural") == [(run, step, 0, str(FOLDER), "")]
    told = here.told("natural")
    assert (told["step"], told["channel"], told["relative"]) == (step, 0, 1.5 + step / 1000)
    assert told["held_out"] == {"shift 8 px": 0.9, "blur 1 px": 0.7}
    here.ask("select", channel=2)
    here.ask("scrub", step=2, channel=2)
    here.go(1)
    assert here.calls("natural")[-1] == (run, 2, 2, str(FOLDER), "")
    here.engine.fail["natural"] = PictureError("The pictures are gone.", "Look again.")
    here.ask("scrub", step=1, channel=2)
    here.go(1)
    assert here.told("natural")["error"] == "The pictures are gone."


def test_a_comparison_is_given_up_when_another_picture_is_shown(visit: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    here = visit(QUERY)
    scanned(here)
    jobs: list[Future[Any]] = []

    def slow(*asked: Any) -> Future[Any]:
        jobs.append(Future())
        return jobs[-1]

    monkeypatch.setattr(here.engine, "natural", slow)
    here.arrive().go(turns=8)
    here.ask("pause")
    here.go(1)
    here.ask("scrub", step=2, channel=1)
    here.go(1)
    assert [job.cancelled() for job in jobs] == [True, False]
    assert here.told("natural")["pending"]


def test_another_layer_and_a_pass_are_heard_of(visit: Make) -> None:
    here = visit(QUERY)
    scanned(here)
    here.arrive().go(turns=3)
    here.ask("layer", path="block1")
    here.go(1, turns=5)
    assert here.told("real")["layer"] == "block1"
    assert not here.told("real")["done"]
    here.ask("page", name="patches")
    here.go()
    here.ask("scan", page="patches", model="imagenette-robust", layer="block1", data=EXAMPLES)
    here.go()
    here.ask("page", name="ascent")
    here.go()
    assert (here.told("real")["layer"], here.told("real")["done"]) == ("block1", 4)


def test_folders_that_the_server_does_not_open_are_not_told(visit: Make, tmp_path: object) -> None:
    here = visit(QUERY)
    scanned(here, source=str(tmp_path))
    here.arrive().go(turns=3)
    assert here.told("real")["data"] == ""


def test_classes_have_no_real_patches(visit: Make) -> None:
    here = visit("model=imagenette-robust&layer=&objective=class&filters=0-3&size=32").arrive().go(1, turns=3)
    assert here.told("real") is None
    assert not here.calls("known")


def test_a_sweep_is_ranked_by_path_similarity_where_real_pictures_are_known(
    visit: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = visit(QUERY).arrive().go(turns=3)
    here.ask("sweep", axes={"blur": "0, 1"}, steps=4)
    here.go(2, turns=10)
    assert not here.told("sweep")["real"]
    assert "path_similarity" not in here.told("sweep")["tiles"][0]["scores"]
    here.ask("sweepclose")
    scanned(here)
    here.page.naturals.again()
    here.go()
    here.ask("sweep", axes={"blur": "0, 1"}, steps=4)
    here.go(2, turns=10)
    told = here.told("sweep")
    assert told["real"]
    assert all(0 < tile["scores"]["path_similarity"] < 1 for tile in told["tiles"])
    assert here.calls("judge")[-1][2] == str(FOLDER)
    judge = here.engine.judge

    def gone(run: str, step: int, source: str = "", only: str = "") -> Future[Any]:
        if not source:
            return judge(run, step)
        answer: Future[Any] = Future()
        answer.set_exception(PictureError("The pictures are gone.", "Look again."))
        return answer

    monkeypatch.setattr(here.engine, "judge", gone)
    here.ask("sweepclose")
    here.ask("sweep", axes={"blur": "0, 1"}, steps=4)
    here.go(3, turns=10)
    told = here.told("sweep")
    assert not told["real"]
    assert all("held_out" in tile["scores"] for tile in told["tiles"])
