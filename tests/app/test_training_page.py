"""The one training of a server: orders are checked, its process is told what to do, and its end is noticed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.training import Trainer
from tests.train import samples
from vizcore.errors import TrainingError
from vizcore.train import orders


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainer]:
    monkeypatch.setenv("VIZCORE_THREADS", "1")
    made = Trainer(tmp_path / "home", "cpu")
    yield made
    made.close()


def until(trainer: Trainer, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for what is told; a training that fails ends the waiting."""
    for _ in range(6000):
        told = trainer.told()
        if condition(told):
            return told
        assert told["state"] != "failed" or condition(told), told["error"]
        time.sleep(0.02)
    raise AssertionError(told)


def stripes(tmp_path: Path, epochs: int) -> orders.Order:
    folder = samples.tree(tmp_path / "stripes", count=8, parts=("train",))
    recipe = {"epochs": epochs, "batch_size": 4, "precision": "fp32"}
    return orders.order(str(folder), recipe, options={"filters": [4, 6]}, augment="")


def test_a_training_is_paused_stopped_killed_and_goes_on(trainer: Trainer, tmp_path: Path) -> None:
    ident = trainer.start(stripes(tmp_path, 10_000), 4)
    assert trainer.active
    with pytest.raises(TrainingError, match="goes on already"):
        trainer.start(stripes(tmp_path / "again", 1), 4)
    until(trainer, lambda told: len(told["epochs"]) >= 2 and len(told["filters"]) >= 2)
    trainer.say("pause")
    told = until(trainer, lambda told: told["state"] == "paused")
    assert told["about"]["classes"] == ["a", "b"]
    assert told["about"]["layer"] == "block2.conv"
    assert [len(row) for row in told["confusion"]] == [2, 2]
    paused = trainer.version
    trainer.say("go")
    until(trainer, lambda told: told["state"] == "running" and trainer.version > paused + 3)
    for item in told["filters"]:
        assert trainer.file(ident, "filters", item["index"]).read_bytes()[1:4] == b"PNG"
    process = trainer._process
    assert process is not None
    process.kill()
    before = until(trainer, lambda told: told["state"] == "failed")
    assert "process ended" in before["error"]["message"]
    assert trainer.resume() == ident
    told = until(trainer, lambda told: told["state"] == "running" and len(told["epochs"]) >= 3)
    assert told["about"]["resumed"] >= 2
    assert told["filters"][: len(before["filters"])] == before["filters"]
    trainer.say("stop")
    until(trainer, lambda told: told["state"] == "stopped")
    with pytest.raises(TrainingError):
        trainer.file("../../x", "filters", 0)


def test_an_order_that_cannot_be_carried_out_fails_with_a_sentence(trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    trainer.start(orders.order(str(tmp_path / "none"), {}), 4)
    told = until(trainer, lambda told: told["state"] == "failed")
    assert "no pictures" in told["error"]["message"]
    with pytest.raises(TrainingError):
        Trainer(tmp_path).resume()
