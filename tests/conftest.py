"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


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
