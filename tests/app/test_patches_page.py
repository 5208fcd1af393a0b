"""The page Patches: passes over pictures, which folders may be named, and the addresses of what was found."""

from __future__ import annotations

import json
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.sources import EXAMPLES, FOLDER, Sources
from tests.app.conftest import Visit
from vizcore.engine import Place
from vizcore.errors import EngineError, PictureError
from vizcore.look.collections import collect

Make = Callable[..., Visit]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    for i in range(4):
        Image.fromarray(np.full((20, 20, 3), 50 * i, np.uint8)).save(made / f"{i}.png")
    return made


def told(here: Visit, name: str) -> Any:
    text = getattr(here.session.pages["patches"].state, name)
    return json.loads(text) if text else None


def arrived(visit: Make, folder: Path) -> Visit:
    here = visit("page=patches")
    here.hub.sources = Sources([str(folder)])
    return here.arrive()


def scan(here: Visit, data: str, **fields: str) -> None:
    asked = {"model": "imagenette-robust", "layer": "block2", "data": data, **fields}
    here.ask("scan", page="patches", **asked)
    here.go()


def test_a_pass_is_begun_only_when_it_is_asked_for(visit: Make, folder: Path) -> None:
    here = arrived(visit, folder)
    assert told(here, "network")["model"] == "imagenette-robust"
    assert [one["name"] for one in told(here, "folders")] == [str(folder), EXAMPLES]
    assert not here.calls("scan")
    scan(here, str(folder))
    assert here.calls("scan") == [(Place("imagenette-robust", None, "block2", str(folder)),)]
    assert (told(here, "scan")["state"], told(here, "scan")["error"]) == ("done", "")
    scan(here, EXAMPLES, only="church")
    assert here.calls("scan")[-1] == (Place("imagenette-robust", None, "block2", str(FOLDER), "church"),)
    known = told(here, "folders")
    assert known[0] == {"name": EXAMPLES, "only": "church"}  # what was looked through last comes first
    assert {"name": EXAMPLES, "only": ""} in known


def test_what_cannot_be_is_told(visit: Make, folder: Path, tmp_path: Path) -> None:
    here = arrived(visit, folder)
    for data, model in ((str(tmp_path), "digits"), ("", "digits"), (str(folder), "/tmp/x.pth"), (str(folder), "none")):
        scan(here, data, model=model)
        assert here.told("notice")["kind"] == "error"
        assert not here.calls("scan")
    here.engine.fail["scan"] = EngineError("The engine stopped.", "Try again.")
    scan(here, str(folder))
    assert (told(here, "scan")["state"], told(here, "scan")["error"]) == ("failed", "The engine stopped.")
    assert here.told("notice")["message"] == "The engine stopped."


def test_a_pass_ends_with_its_visit(visit: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = arrived(visit, folder)
    from vizcore.engine.jobs import Job

    jobs = []

    def never(place: Place) -> Job[Any]:
        jobs.append(Job())
        jobs[-1].progress = (2, 4)
        return jobs[-1]

    monkeypatch.setattr(here.engine, "scan", never)
    scan(here, str(folder))
    assert (told(here, "scan")["state"], told(here, "scan")["done"]) == ("running", 2)
    here.ask("page", name="library")
    here.go()
    assert not jobs[0].cancelled()  # it goes on behind other pages
    here.ask("page", name="patches")
    here.ask("stop", page="patches")
    here.go()
    assert jobs[0].cancelled()
    assert told(here, "scan")["state"] == "stopped"
    scan(here, str(folder))
    here.session.close()
    assert jobs[1].cancelled()


def test_a_server_opens_the_folders_that_it_was_given(tmp_path: Path) -> None:
    inside, beside = tmp_path / "data" / "photos", tmp_path / "data2"
    inside.mkdir(parents=True)
    beside.mkdir()
    (tmp_path / "data" / "out").symlink_to(beside)
    sources = Sources([str(tmp_path / "data")])
    assert sources.find(str(inside)) == str(inside)
    assert sources.find(EXAMPLES) == str(FOLDER)
    assert sources.name(str(FOLDER)) == EXAMPLES
    wrong = (str(beside), "/etc", str(tmp_path / "data" / ".." / "data2"), str(tmp_path / "data" / "out"), "", "  ")
    for name in (*wrong, "//host/share", "\\\\host\\share", "a\0b"):
        with pytest.raises(PictureError):
            sources.find(name)
    assert sources.name(str(beside)) == ""
    assert Sources(anywhere=True).find(str(beside)) == str(beside)
    with pytest.raises(PictureError):
        Sources(anywhere=True).find("\\\\host\\share")


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "/").replace("_", "."), data)
    return path


def test_what_was_dropped_is_found_by_its_name_until_there_is_no_room(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = (folder / "1.png").read_bytes()
    here, elsewhere = Sources(anywhere=True), Sources()
    first = here.take(zipped(tmp_path / "a", b__1_png=picture), "../my: photos\n")
    assert re.fullmatch(r"dropped:[\w-]{12}/my photos", first)
    path = here.find(first)
    assert collect(path).names == ("b/1.png",)
    assert not (tmp_path / "a").exists()
    assert here.name(path) == first
    assert elsewhere.name(path) == ""  # of a server before
    hidden = elsewhere.take(zipped(tmp_path / "c", x_png=picture), "")
    assert elsewhere.name(elsewhere.find(hidden)) == ""  # those who share a server do not see each other's
    with pytest.raises(PictureError, match="no pictures"):
        here.take(zipped(tmp_path / "d", readme_txt=b"none"), "d")
    monkeypatch.setattr("app.sources.ROOM", 1)
    second = here.take(zipped(tmp_path / "e", x_png=picture), "e")
    assert Path(here.find(second)).is_file()
    for gone in (first, "dropped:nothing/at all"):
        with pytest.raises(PictureError, match="not here any more"):
            here.find(gone)
    held = Path(here.find(second)).parent
    here.close()
    elsewhere.close()
    assert not held.exists()


def test_a_dropped_archive_of_runs_is_opened_and_a_zip_of_neither_refused(visit: Make, tmp_path: Path) -> None:
    here = arrived(visit, tmp_path)
    opened = []
    here.session.bringing.opened = lambda token, name: opened.append(name)  # type: ignore[method-assign]
    for name, members in {"runs.zip": {"manifest_json": b"{}"}, "texts.zip": {"readme_txt": b"none"}}.items():
        token, path = here.hub.files.new("upload")
        zipped(path, **members)
        here.ask("dropped", page="patches", token=token, name=name)
        until(here, lambda name=name: name in opened or "no pictures" in here.session.frame.notice)
    assert opened == ["runs.zip"]
    assert "no pictures in this zip" in here.session.frame.notice
    here.ask("dropped", page="patches", token="gone", name="x.zip")
    assert "not arrived" in here.session.frame.notice


def until(here: Visit, condition: Callable[[], object]) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end
        here.go()
