"""Where to compute, with how many threads, and what to write down of it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from vizcore.errors import EngineError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose(name: str) -> str:
    """The device of a name; ``"auto"`` is the first of cuda, mps, cpu that is there.

    Raises:
        EngineError: an unknown device, or one that this machine has not.
    """
    if name not in DEVICES:
        raise EngineError(f"There is no device {name[:40]!r}.", f"Use one of {', '.join(DEVICES)}.")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there[name]:
        raise EngineError(f"This machine has no {name} device that torch can use.", "Use device=auto.")
    return name


def set_threads(exact: bool) -> int:
    """All cores, or ``VIZCORE_THREADS``, or 1 if the arithmetic must repeat bit by bit; returns the number."""
    wanted = os.environ.get("VIZCORE_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = 1 if exact else int(wanted) if wanted.isdecimal() and int(wanted) > 0 else cores
    torch.set_num_threads(threads)
    return threads


def environment(device: str, exact: bool) -> dict[str, Any]:
    """What equal bits depend on besides the spec, for the run file."""
    return {
        "device": device,
        "device_name": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "system": platform.system(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "exact": exact,
    }


def memory() -> int | None:
    """Resident bytes of this process; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def free_memory() -> int | None:
    """Bytes that can still be had: of the GPU if there is one, else of the machine; None where nobody says."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
