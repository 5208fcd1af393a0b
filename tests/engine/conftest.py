"""One engine for the tests that leave it whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engine_helpers import TIMEOUT

from vizcore.engine import Engine
from vizcore.runs import Library


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIZCORE_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def engine(library: Library) -> Iterator[Engine]:
    with Engine(library, device="cpu") as engine:
        engine.ready.result(TIMEOUT)
        yield engine
