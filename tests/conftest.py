"""Fixtures that all tests share."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vizcore.cli import main

Run = Callable[..., dict[str, Any]]


def pytest_configure() -> None:
    """Let Ctrl-C mean what it means: a shell's background jobs ignore it, and so would the processes of the tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a GPU where there is none."""
    if not torch.cuda.is_available():
        away = [item for item in items if item.get_closest_marker("gpu")]
        config.hook.pytest_deselected(items=away)
        items[:] = [item for item in items if item not in away]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data that is not the project's to ship (real weights, pictures, data sets)."""
    folder = Path(os.environ.get("VIZCORE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "weights").is_dir():
        message = "the shared data is not beside the checkout (set VIZCORE_SHARED to its folder)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a run library of its own."""
    folder = tmp_path / "home"
    monkeypatch.setenv("VIZCORE_HOME", str(folder))
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with ``--json`` and returns the one object that it printed; ``code`` is what it must exit with."""

    def call(*args: object, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*map(str, args), "--json"]) == code, capsys.readouterr()
        out = capsys.readouterr().out
        assert out.count("\n") == 1, f"more than one line on standard output: {out[:300]!r}"
        result: dict[str, Any] = json.loads(out)
        return result

    return call


@pytest.fixture
def refused(run: Run) -> Callable[..., dict[str, str]]:
    """Runs a command that must be refused: one sentence, a remedy, no path of this machine, exit code 2."""

    def call(*args: object, kind: str) -> dict[str, str]:
        error: dict[str, str] = run(*args, code=2)["error"]
        assert set(error) == {"kind", "message", "hint"}
        assert error["kind"] == kind, error
        assert error["message"].endswith(".")
        assert error["hint"]
        assert "\n" not in error["message"]
        assert str(Path.cwd()) not in error["message"] + error["hint"]
        assert "Traceback" not in error["message"]
        return error

    return call
