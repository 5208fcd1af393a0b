"""``vizcore runs``: replay, export, import, gc and the rest, as machines see them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from vizcore import export, runs
from vizcore import spec as specs
from vizcore.cli import main
from vizcore.history import RunReader, entries, schema

Capture = pytest.CaptureFixture[str]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def made(run: Run, tmp_path: Path) -> str:
    """A run of 40 steps of two filters of the bundled digits network, in exact arithmetic."""
    out = str(tmp_path / "rendered")
    what = ("digits", "conv2", "--channels", "3,5", "--size", "32", "--steps", "40", "--exact")
    made: str = run("render", *what, "--out", out)["run"]
    return made


def test_a_run_replays_and_a_changed_one_does_not(run: Run, made: str, capsys: Capture) -> None:
    told = run("runs", "replay", made)
    assert (told["run"], told["identical"], told["first_difference"], told["steps"]) == (made, True, None, 41)
    assert told["environment"] == []
    path = runs.Library().path(made)
    with schema.editing(path) as connection:
        connection.execute("UPDATE step SET norms = ? WHERE step = 17", (np.ones(2, "<f4").tobytes(),))
        facts = json.loads(connection.execute("SELECT value FROM meta WHERE key = 'environment'").fetchone()[0])
        entries.Meta("environment", json.dumps({**facts, "torch": "1.2.3"})).apply(connection)
    told = run("runs", "replay", str(path))
    assert (told["identical"], told["first_difference"]) == (False, 17)
    assert [entry["name"] for entry in told["environment"]] == ["torch"]
    assert main(["runs", "replay", made]) == 0
    out = capsys.readouterr().out
    assert "Step 17" in out
    assert "torch was 1.2.3" in out


def test_a_picture_leads_to_its_run_or_is_repeated(run: Run, refused: Any, made: str, tmp_path: Path) -> None:
    png = tmp_path / "a.png"
    told = run("runs", "export", made, "--out", str(png), "--channels", "5", "--steps", "12")
    assert (told["step"], told["filters"]) == (12, [5])
    recipe = export.read_recipe(png)
    assert (recipe.step, recipe.channel, recipe.extra["run"]) == (12, 5, made)
    assert run("runs", "show", str(png))["run"] == made
    runs.Library().delete(made)
    assert run("runs", "show", str(png))["run"] is None
    again = run("runs", "replay", str(png))
    assert again["run"] != made
    assert (again["identical"], again["step"]) == (True, 12)
    with runs.Library().open(again["run"]) as reader:
        assert reader.scores()[0].tolist() == list(range(13))
    assert run("runs", "show", str(png))["run"] == again["run"]
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    for command in ("show", "replay"):
        assert "no recipe" in refused("runs", command, str(tmp_path / "plain.png"), kind="ExportError")["message"]


def forged(path: Path, **changes: object) -> str:
    spec = specs.to_dict(specs.build("digits", "conv2", (3,), size=32))
    data = {"vizcore": "1", "spec": spec | changes, "step": 2, "knobs": [], "channel": 3}
    info = PngImagePlugin.PngInfo()
    info.add_itxt(export.KEY, json.dumps(data))
    Image.new("RGB", (32, 32)).save(path, pnginfo=info)
    return str(path)


def test_forged_recipes_are_refused_and_run_nobodys_code(refused: Any, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "evil.py").write_text("from pathlib import Path\nPath('ran').touch()\ndef net(): pass\n")
    monkeypatch.chdir(tmp_path)
    refused("runs", "replay", forged(tmp_path / "a.png", size=10**6), kind="ExportError")
    refused("runs", "replay", forged(tmp_path / "b.png", model="nonesuch"), kind="ModelError")
    refused("runs", "replay", forged(tmp_path / "c.png", model="evil:net"), kind="ModelError")
    refused("runs", "replay", forged(tmp_path / "d.png", layer="conv99"), kind="LayerError")
    assert not (tmp_path / "ran").exists()
    assert runs.Library().list() == []


def test_films_tables_and_what_is_refused(run: Run, refused: Any, made: str, tmp_path: Path) -> None:
    library = runs.Library()
    with schema.editing(library.path(made)) as connection:
        entries.drop(connection, [33, 34])
    told = run("runs", "export", made, "--out", str(tmp_path / "a.gif"), "--steps", "30-36", "--channels", "3")
    assert told["frames"] == 5
    refused("runs", "export", made, "--out", str(tmp_path / "b.png"), "--steps", "33", kind="HistoryError")
    told = run("runs", "export", made, "--out", str(tmp_path / "a.gif"), "--steps", "30-36", "--fill")
    assert told["frames"] == 7
    with library.open(made) as reader:
        assert {33, 34} <= set(reader.steps().tolist())
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 7  # type: ignore[attr-defined]
    assert run("runs", "export", made, "--out", str(tmp_path / "a.csv"))["rows"] == 82
    run("runs", "export", made, "--out", str(tmp_path / "sheet.png"))
    assert export.read_recipe(tmp_path / "sheet.png").channel is None
    before = sorted(tmp_path.iterdir())
    for args, kind in [
        (("--out", "a.avi"), "ExportError"),
        (("--out", "x.gif", "--steps", "9-3"), "SpecError"),
        (("--out", "x.gif", "--steps", "a-b"), "SpecError"),
        (("--out", "x.gif", "--steps", "900-901"), "ExportError"),
        (("--out", "x.gif", "--channels", "4"), "HistoryError"),
        (("--out", "x.gif", "--fps", "99"), "ExportError"),
        (("--out", "nowhere/x.gif"), "ExportError"),
        (("--out", "x.png", "--steps", "3-4"), "SpecError"),
    ]:
        refused("runs", "export", made, args[0], str(tmp_path / args[1]), *args[2:], kind=kind)
    assert sorted(tmp_path.iterdir()) == before


def test_archives_come_back(run: Run, refused: Any, made: str, tmp_path: Path, monkeypatch: Any) -> None:
    out = str(tmp_path / "runs.zip")
    assert run("runs", "export", made, "--out", out)["runs"] == [made]
    assert run("runs", "import", out)["runs"] == [{"id": made, "was": made, "new": False}]
    with runs.Library().open(made) as reader:
        before = reader.scores()[1].tolist()
    monkeypatch.setenv("VIZCORE_HOME", str(tmp_path / "elsewhere"))
    assert run("runs", "import", out)["runs"] == [{"id": made, "was": made, "new": True}]
    with runs.Library().open(made) as reader:
        assert reader.scores()[1].tolist() == before
    refused("runs", "import", str(tmp_path / "nothing.zip"), kind="ExportError")


def test_trash_and_quota(run: Run, refused: Any, made: str, capsys: Capture) -> None:
    assert run("runs", "delete", made)["deleted"] == [made]
    assert run("runs", "list")["runs"] == []
    assert run("runs", "restore", made)["restored"] == [made]
    plan = run("runs", "gc", "--dry-run", "--limit", "0")
    assert [entry["id"] for entry in plan["runs"]] == [made]
    assert plan["freed"] == plan["bytes"] > 0
    assert len(run("runs", "list", "--search", "digits conv2")["runs"]) == 1
    assert run("runs", "list", "--search", "nothing")["runs"] == []
    assert run("runs", "gc")["runs"] == []
    run("runs", "gc", "--limit", "0")
    assert run("runs", "list")["runs"] == []
    refused("runs", "delete", made, kind="HistoryError")
    refused("runs", "restore", made, kind="HistoryError")
    refused("runs", "list", "--sort", "colour", kind="SpecError")


def test_a_fork_is_shown_with_its_parent(run: Run, made: str, capsys: Capture) -> None:
    library = runs.Library()
    with library.open(made) as reader:
        spec, state = reader.spec, reader.checkpoint_at(0)[1]
    child, writer = library.create(spec, parent=(made, 5), shared=0)
    with writer:
        writer.add(5, np.zeros((2, 32, 32, 1), np.uint8), np.zeros(2), np.zeros(2))
        writer.checkpoint(5, state)
    assert next(e for e in run("runs", "list")["runs"] if e["id"] == child)["parent"] == [made, 5]
    assert run("runs", "show", child)["kept"] == [[0, 5, 1]]
    capsys.readouterr()
    assert main(["runs", "show", child]) == 0
    assert f"{made} at step 5" in capsys.readouterr().out
    with RunReader(library.path(child)) as reader:
        assert export.recipe_of(reader, 5, 3).extra["fork"] == [made, 5]


def test_a_fork_of_a_fork_is_repeated_from_a_picture_where_its_parents_are_not(
    run: Run, refused: Any, made: str, tmp_path: Path, monkeypatch: Any
) -> None:
    first = run("runs", "fork", made, "--step", "10", "--set", "rate=0.2", "--set", "seed=9", "--objective", "-channel")
    assert (first["parent"], first["step"], first["channels"]) == ([made, 10], 40, [3, 5])
    second = run("runs", "fork", first["run"], "--step", "21", "--channels", "5", "--set", "optimizer=ascent")
    png, early = tmp_path / "a.png", tmp_path / "early.png"
    run("runs", "export", second["run"], "--out", png, "--channels", "5", "--steps", "30")
    run("runs", "export", second["run"], "--out", early, "--channels", "5", "--steps", "15")
    recipe = export.read_recipe(png)
    assert [(one.step, one.spec.seed, one.spec.objective) for one in recipe.above] == [
        (10, 0, "channel"),
        (21, 9, "-channel"),
    ]
    assert (recipe.spec.optimizer, recipe.spec.channels) == ("ascent", (5,))
    assert run("runs", "show", png)["run"] == second["run"]
    before = export.read_recipe(early)  # it is the parent's picture: its recipe says so
    assert (before.extra["run"], before.spec.channels, len(before.above)) == (first["run"], (3, 5), 1)
    with runs.Library().open(second["run"]) as reader:
        scores = reader.scores()[1][:31].tolist()
        assert export.recipe_of(reader, 30, 5) == recipe

    monkeypatch.setenv("VIZCORE_HOME", str(tmp_path / "elsewhere"))
    assert runs.Library().list() == []
    again = run("runs", "replay", png)
    assert (again["identical"], again["step"]) == (True, 30)
    with runs.Library().open(again["run"]) as reader:
        assert reader.scores()[1].tolist() == scores  # the ancestors' steps too, bit for bit
        assert reader.steps().tolist() == list(range(31))
        assert reader.root == 21
    assert len(runs.Library().list()) == 3
    assert run("runs", "show", png)["run"] == again["run"]  # found by what it is, whatever its id
    assert run("runs", "show", early)["run"] == again["parent"][0]
    assert run("runs", "replay", early)["identical"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda above: above[0]["spec"].update(size=64), "damaged"),
        (lambda above: above[0]["spec"].update(channels=[3]), "cannot be used"),
        (lambda above: above[0].update(step=-1), "damaged"),
        (lambda above: above[0].update(step=10**6), "ends before"),
        (lambda above: above.extend(above * 70), "damaged"),
        (lambda above: above[0].update(spec=3), "cannot be used"),
    ],
)
def test_forged_ancestors_are_refused_and_leave_nothing(
    run: Run, refused: Any, tmp_path: Path, change: Callable[[list[dict[str, Any]]], None], words: str
) -> None:
    spec = specs.build("digits", "conv2", (3, 5), size=32, steps=8, seed=1)
    parent = specs.to_dict(spec.replace(seed=0))
    above = [{"spec": parent, "knobs": [], "step": 4}]
    change(above)
    data = {"vizcore": "1", "spec": specs.to_dict(spec), "step": 6, "knobs": [], "channel": 3, "above": above}
    info = PngImagePlugin.PngInfo()
    info.add_itxt(export.KEY, json.dumps({**data, "extra": {"exact": True}}))
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png", pnginfo=info)
    kind = "HistoryError" if words == "ends before" else "ExportError"
    assert words in refused("runs", "replay", tmp_path / "a.png", kind=kind)["message"]
    assert runs.Library().list() == []


def test_a_fork_keeps_what_its_picture_means(run: Run, refused: Any, made: str) -> None:
    for change in ("size=64", "parameterization=pixel", "fourier_decay=2", "start=0.5", "decorrelate=no"):
        told = refused("runs", "fork", made, "--step", "3", "--set", change, kind="SpecError")
        assert "fork" in told["message"]
    assert (
        "not of classes"
        in refused("runs", "fork", made, "--step", "3", "--objective", "class", kind="SpecError")["message"]
    )
    refused("runs", "fork", made, "--step", "3", "--objective", "chanel", kind="SpecError")
    refused("runs", "fork", made, "--step", "3", "--set", "colour=1", kind="SpecError")
    refused("runs", "fork", made, "--step", "99", kind="HistoryError")
    refused("runs", "fork", made, "--step", "3", "--channels", "4", kind="SpecError")
    assert [info.id for info in runs.Library().list()] == [made]
    with schema.editing(runs.Library().path(made)) as connection:
        entries.Meta("above", "[3]").apply(connection)
    refused("runs", "fork", made, "--step", "3", kind="HistoryError")
