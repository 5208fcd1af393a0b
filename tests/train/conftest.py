"""What the tests of training share."""

from __future__ import annotations

import pytest

from tests.conftest import Run


@pytest.fixture
def run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """As everywhere, on one thread: what the tests train is small."""
    monkeypatch.setenv("VIZCORE_THREADS", "1")
    return run
