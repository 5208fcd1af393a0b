"""The one training that a server carries out, in a process of its own; every page sees the same."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vizcore.errors import TrainingError, from_dict
from vizcore.train import orders
from vizcore.train.orders import Order

IDS = r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}"
POINTS = 400  # of a learning curve: as many as a screen shows
LEAVING = 3.0  # seconds in which a training that is told to end must have ended
ACTIVE = ("starting", "running", "paused")


class Trainer:
    """Starts, pauses and ends trainings, and knows what the newest has told.

    Used from the event loop; a thread reads what the process tells.  ``version`` grows with each change.

    Args:
        home: the folder that trainings are kept in.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``.
    """

    def __init__(self, home: Path, device: str = "auto") -> None:
        self.home, self._device = home / "trainings", device
        self._root = home
        self.version = 0
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._state: dict[str, Any] = {"id": "", "state": "none"}
        self._order: Order | None = None
        self._every = 1

    def told(self) -> dict[str, Any]:
        """What is known of the newest training: a copy."""
        with self._lock:
            state = self._state
            return {key: list(value) if isinstance(value, list) else value for key, value in state.items()}

    @property
    def active(self) -> bool:
        """Whether a training goes on."""
        return self._state["state"] in ACTIVE

    def start(self, order: Order, every: int) -> str:
        """Begin a training; returns its id.

        Raises:
            TrainingError: another one goes on.
        """
        self._check_idle()
        ident = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        return self._begin(ident, order, every)

    def resume(self) -> str:
        """Go on with the newest training after its last epoch, if it was ended or has failed."""
        self._check_idle()
        if self._order is None or self._state["state"] not in ("stopped", "failed"):
            raise TrainingError("There is no training to go on with.", "Start one.")
        return self._begin(str(self._state["id"]), self._order, self._every)

    def say(self, what: str) -> None:
        """``pause``, ``go`` or ``stop``."""
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                process.stdin.write(json.dumps({"do": what}) + "\n")
                process.stdin.flush()

    def file(self, ident: str, kind: str, number: int) -> Path:
        """Where a picture of filters or of a mistake is kept."""
        if not re.fullmatch(IDS, ident) or kind not in ("filters", "mistakes"):
            raise TrainingError("There is no such training.", "Choose one of the page.")
        return self.home / ident / kind / f"{number}.png"

    def close(self) -> None:
        """End the training at its last epoch; its process goes with it."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(LEAVING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _check_idle(self) -> None:
        if self.active:
            raise TrainingError("A training goes on already.", "Stop it first.")

    def _begin(self, ident: str, order: Order, every: int) -> str:
        self.close()
        self.home.mkdir(parents=True, exist_ok=True)
        self._order, self._every = order, every
        same = self._state["id"] == ident
        kept = {key: self._state[key] for key in ("filters",) if same and key in self._state}
        with self._lock:
            self._state = {
                "id": ident, "state": "starting", "order": orders.to_dict(order), "error": None, "notes": [],
                "epochs": [], "steps": [], "filters": [], "failed": [], "confusion": [], "mistakes": [], **kept,
            }  # fmt: skip
            self.version += 1
        process = subprocess.Popen(
            [sys.executable, "-m", "vizcore.train.live"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
            env={"GOMP_SPINCOUNT": "3000", **os.environ},  # as the engine's: threads that spin hold cores from all else
        )  # fmt: skip
        self._process = process
        first = {
            "do": "start", "order": orders.to_dict(order), "out": str(self.home / ident), "device": self._device,
            "every": every, "home": str(self._root),
        }  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(first) + "\n")
        process.stdin.flush()
        threading.Thread(target=self._listen, args=(process, ident), name="training", daemon=True).start()
        return ident

    def _listen(self, process: subprocess.Popen[str], ident: str) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in process.stdout:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    self._take(ident, json.loads(line))
        process.wait()
        with self._lock:
            if self._state["id"] == ident and self._state["state"] in ACTIVE and process is self._process:
                error = TrainingError("The training's process ended.", "It goes on after its last epoch.")
                self._state |= {"state": "failed", "error": error.to_dict()}
                self.version += 1

    def _take(self, ident: str, told: dict[str, Any]) -> None:
        event = told.pop("event")
        with self._lock:
            if self._state["id"] != ident:
                return
            _TAKE[event](self._state, told)
            self.version += 1


def _ready(state: dict[str, Any], told: dict[str, Any]) -> None:
    state |= {"state": "running", "about": told, "epochs": told.pop("history"), "reading": None}


def _step(state: dict[str, Any], told: dict[str, Any]) -> None:
    points = state["steps"]
    points.append([told["step"], told["loss"], told["accuracy"]])
    if len(points) > 2 * POINTS:
        state["steps"] = points[::2]
    state["now"] = told


def _epoch(state: dict[str, Any], told: dict[str, Any]) -> None:
    for key in ("confusion", "mistakes"):
        if key in told:
            state[key] = told.pop(key)
    state["epochs"].append(told)


def _failed(state: dict[str, Any], told: dict[str, Any]) -> None:
    """The next seed is tried: its curves begin anew, the filters' history goes on."""
    state["failed"].append(told)
    state |= {"epochs": [], "steps": []}


def _error(state: dict[str, Any], told: dict[str, Any]) -> None:
    state |= {"state": "failed", "error": from_dict(told["error"]).to_dict()}


_TAKE: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "reading": lambda state, told: state.update(reading=told),
    "ready": _ready,
    "step": _step,
    "epoch": _epoch,
    "filters": lambda state, told: state["filters"].append(told),
    "failed": _failed,
    "note": lambda state, told: state["notes"].append(told["text"]),
    "paused": lambda state, told: state.update(state="paused"),
    "going": lambda state, told: state.update(state="running"),
    "stopped": lambda state, told: state.update(state="stopped"),
    "done": lambda state, told: state.update(state="done", facts=told["facts"]),
    "error": _error,
}
