"""Exceptions as sentences: what crosses the pipe never has a traceback or a path in it."""

from __future__ import annotations

import logging
import logging.handlers
import re
import secrets
from pathlib import Path

from vizcore.engine.devices import free_memory
from vizcore.errors import EngineError, StorageError, VizcoreError
from vizcore.memory import is_out_of_memory

_WANTED = re.compile(r"tried to allocate ([\d.]+) ?(bytes|[KMGT]i?B)", re.IGNORECASE)
_UNITS = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def logger(home: Path) -> logging.Logger:
    """The log of the engine, ``logs/engine.log``; a megabyte, then the next of three files."""
    log = logging.Logger("vizcore.engine", logging.INFO)  # not a registered one: it belongs to this library alone
    try:
        (home / "logs").mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = logging.handlers.RotatingFileHandler(
            home / "logs" / "engine.log", maxBytes=2**20, backupCount=2, delay=True, encoding="utf-8"
        )
    except OSError:
        handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    log.addHandler(handler)
    return log


def out_of_memory(error: BaseException, free: int | None = None) -> EngineError:
    """The error of a run that does not fit, with the size that was asked for if torch told it."""
    found = _WANTED.search(str(error))
    room = f", and {free / 2**30:.1f} GB are free" if free is not None else ""
    needs = "more memory than there is"
    if found:
        size = float(found[1]) * _UNITS.get(found[2].lower(), 1)
        needs = f"{size / 2**30:.1f} GB more memory" if size >= 2**29 else f"{max(size / 2**20, 1):.0f} MB more memory"
    return EngineError(f"The run needs {needs}{room}.", "Try 160 px or fewer filters.")


def explain(error: BaseException, log: logging.Logger) -> VizcoreError:
    """``error`` if it is one of ours, else a sentence with the number under which the log has the traceback."""
    if isinstance(error, VizcoreError):
        return error
    if is_out_of_memory(error):
        log.warning("out of memory: %s", error)
        return out_of_memory(error, free_memory())
    number = secrets.token_hex(3)
    log.error("error %s", number, exc_info=(type(error), error, error.__traceback__))
    if isinstance(error, OSError):
        return StorageError(
            f"The engine could not read or write a file ({error.strerror or 'unknown reason'}).",
            f"Check space and rights of the library; the log has it as {number}.",
        )
    return EngineError("The engine met an error that it does not know.", f"The engine's log has it as {number}.")
