"""Where the child process begins; imports torch only once it is the child."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from typing import Any

from vizcore.engine.protocol import Config


def main(pipe: Connection, busy: Any, config: Config) -> None:
    """Serve commands until the pipe ends, which it does also when the parent is killed.

    Args:
        busy: memory shared with the parent: the run whose step is being computed, for the case that it kills us.
    """
    begin = time.perf_counter()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the pipe
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # How long OpenMP's threads spin at a barrier before they sleep, in turns of a loop.  The default lets them hold a
    # core through every stretch of Python, where encoders and the server could have it; 0 costs a wake-up at each.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    from vizcore.engine.worker import Worker
    from vizcore.memory import keep_freed

    keep_freed()

    Worker(pipe, busy, config, begin).serve()
