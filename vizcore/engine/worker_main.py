"""Where the child process begins; imports torch only once it is the child."""

from __future__ import annotations

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
    from vizcore.engine.worker import Worker

    Worker(pipe, busy, config, begin).serve()
