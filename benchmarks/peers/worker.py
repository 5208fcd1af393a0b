"""The child process of one tool: ``python -m benchmarks.peers.worker TOOL``.

It reads orders from its input, one JSON object a line, and answers each with one line::

    {"do": "setup", "case": {...}, "options": {...}}   {"seconds": 1.2, "precision": "bf16"}
    {"do": "run", "steps": 8}                          {"seconds": 0.4}
    {"do": "pictures", "path": "x.npy"}                {}
    {"do": "memory"}                                   {"peak": 812.0, "before": 301.0}     megabytes, resident
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.cases import Case
from benchmarks.peers.tools import Tool, make


def main(name: str) -> None:
    """Obey until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a tool prints is not an answer
    warnings.simplefilter("ignore")
    before = _peak()
    tool: Tool | None = None
    for line in sys.stdin:
        order = json.loads(line)
        begin = time.perf_counter()
        answer: dict[str, Any] = {}
        try:
            if order["do"] == "setup":
                case = Case(**{**order["case"], "channels": tuple(order["case"]["channels"])})
                tool = make(name, case, order["options"])
                answer["precision"] = getattr(tool, "precision", "fp32")
            elif order["do"] == "memory":
                answer |= {"peak": _peak(), "before": before}
            elif tool is not None and order["do"] == "run":
                tool.run(order["steps"])
            elif tool is not None and order["do"] == "pictures":
                np.save(order["path"], tool.pictures())
        except Exception as error:  # of any tool: the parent says so in the table
            answer["error"] = f"{type(error).__name__}: {error}"
        answer["seconds"] = time.perf_counter() - begin
        answers.write(json.dumps(answer) + "\n")


def _peak() -> float:
    """Megabytes resident at the highest."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, what getrusage says begins with the size of the parent
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024  # type: ignore[index]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1024)  # bytes there, KiB elsewhere


if __name__ == "__main__":
    main(sys.argv[1])
