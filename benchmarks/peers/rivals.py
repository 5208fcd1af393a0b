"""The parent's side of a tool's process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import environments
from benchmarks.peers.cases import Case

ROOT = Path(__file__).parents[2]


class PeerError(Exception):
    """A tool could not do what it was asked; the table says why."""


class Rival:
    """A tool at work on one case."""

    def __init__(self, tool: str, case: Case, **options: object) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [str(environments.python(tool)), "-m", "benchmarks.peers.worker", tool], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None,
        )  # fmt: skip
        try:
            self.precision: str = self._ask(do="setup", case=case.to_dict(), options=options)["precision"]
        except BaseException:
            self.close()
            raise

    def run(self, steps: int) -> float:
        """Make steps; the seconds that they took in the tool's process."""
        return float(self._ask(do="run", steps=steps)["seconds"])

    def pictures(self) -> np.ndarray:
        """``[N, H, W, 3]`` uint8."""
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/pictures.npy"
            self._ask(do="pictures", path=path)
            array: np.ndarray = np.load(path)
        return array

    def memory(self) -> tuple[float, float]:
        """Megabytes resident at the peak, and when torch had been imported."""
        answer = self._ask(do="memory")
        return answer["peak"], answer["before"]

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait(60)

    def _ask(self, **order: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerError("its process ended") from None
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(f"its process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer


@contextlib.contextmanager
def rival(tool: str, case: Case, **options: object) -> Iterator[Rival]:
    """A tool at work, whose process ends with the block."""
    one = Rival(tool, case, **options)
    try:
        yield one
    finally:
        one.close()
