"""The documentation tells the truth: what it names exists, what it says to run runs."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from app import keys
from vizcore import reference
from vizcore.cli import console, main
from vizcore.cli.commands import app
from vizcore.spec import PARAMS, PRESETS, parse_channels
from vizcore.zoo.load import models

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK = ("--channels", "0-1", "--steps", "1", "--size", "32", "--threads", "1")  # the last of two equal flags wins


def commands(text: str) -> list[list[str]]:
    """The command lines in the ``sh`` blocks of a page, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [words for block in blocks for line in block.splitlines() if (words := shlex.split(line, comments=True))]


OURS = [words[1:] for words in commands(README) if words[0] == "vizcore"]


@pytest.mark.parametrize("args", [a for a in OURS if a[0] != "serve"], ids=" ".join)
def test_the_commands_of_the_readme_run(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    on_disk = {entry.name for entry in models() if entry.on_disk}
    if args[0] == "render":
        assert parse_channels(args[args.index("--channels") + 1])
        args = [*args, *QUICK]
        if args[1] not in on_disk:  # its weights would be fetched: only the command line is checked
            monkeypatch.setattr("vizcore.cli.render.render", lambda order, setting: console.Result({}, ""))
    if args[0] == "dream":
        args = [*args, "--octaves", "1", "--steps", "1", "--size", "64", "--threads", "1", "--video", "gif"]
        args += ["--zoom-frames", "1"] if "--zoom-frames" in args else []
    if args[0] in ("look", "top", "dream", "render"):
        (tmp_path / "photos").mkdir()
        for path in (tmp_path / "photo.jpg", tmp_path / "other.jpg", tmp_path / "photos" / "1.jpg"):
            Image.effect_mandelbrot((80, 70), (-2, -1, 1, 1), 50).convert("RGB").save(path)
    assert main(args) == 0, capsys.readouterr().err


def test_the_server_understands_the_flags_of_the_readme() -> None:
    from app.serve import Dashboard

    parser = argparse.ArgumentParser()
    Dashboard(parser)
    served = [args[1:] for args in OURS if args[0] == "serve"]
    assert served
    docker = re.search(r"^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert docker is not None
    image: list[str] = json.loads(docker[1])
    assert image[:2] == ["vizcore", "serve"]
    for args in [*served, image[2:], ["--show"]]:
        parser.parse_args(args)


def test_make_has_the_targets_that_pages_name() -> None:
    named = {word for page in PAGES for word in re.findall(r"\bmake ([a-z]+)", page.read_text(encoding="utf-8"))}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert {"serve", "test", "check", "bench"} <= targets
    assert named & {"serve", "test", "check", "bench", "docs"} == {"serve", "test", "check", "bench", "docs"}
    verbs = {"it", "a", "the"}
    assert named - verbs <= targets


@pytest.mark.parametrize("target", ["help", "serve", "test", "check", "bench", "docs", "wheel", "clean"])
def test_make_knows_what_to_do(target: str) -> None:
    result = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_make_says_when_python_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ncase "$*" in *version_info*) exit 1;; *-V*) echo Python 3.9.2;; esac\nexit 0\n')
    old.chmod(0o755)
    command = ["make", "install", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0
    assert "Python 3.11 or newer" in result.stderr
    assert "3.9.2" in result.stderr
    command[2] = f"PYTHON={tmp_path / 'nothing'}"
    assert "There is no" in subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stderr


def test_the_reference_is_up_to_date() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert page == reference.reference(), "run make docs"


def test_every_parameter_preset_and_flag_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    for name, meta in PARAMS.items():
        assert f"| `{name}` |" in page
        assert meta.help in page
    for name in PRESETS:
        assert f"| `{name}` |" in page
    for flag in flags_of(typer.main.get_command(app)):
        assert re.search(rf"`{re.escape(flag)}[` ]", page), f"{flag} is not documented"


def flags_of(command: Any) -> set[str]:
    """Every flag of a command and of those under it, save ``--help``."""
    own = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts) if flag.startswith("--")}
    below = [flags_of(child) for child in getattr(command, "commands", {}).values()]
    return own.union(*below) - {"--help"}


def test_every_variable_that_is_read_is_documented() -> None:
    sources = [*ROOT.glob("vizcore/**/*.py"), *ROOT.glob("app/**/*.py")]
    read = {name for path in sources for name in re.findall(r"\bVIZCORE_[A-Z_]+\b", path.read_text(encoding="utf-8"))}
    assert read == set(reference.ENVIRONMENT)


def test_every_key_is_in_the_readme() -> None:
    assert keys.markdown() in README, "copy the table of app.keys.markdown()"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
