"""The process in which torch runs, and its handle in everybody else's.

::

    Engine (client)  ──commands──►  worker.main (spawned child)  ──frames──►  run file
          ▲                              │
          └────── replies, states ───────┘

``protocol`` says what crosses the pipe, ``client`` is the handle (no torch), ``worker_main`` and ``worker`` are the
child, which takes commands between steps, ``scheduler`` says whose step is next, ``task`` is one run, ``networks`` the
loaded networks, ``jobs`` and ``works`` what takes long beside the runs, ``looking`` and ``patching`` what is done with
real pictures, ``measuring`` the ruler, ``failures`` turns exceptions into sentences, ``devices`` chooses where to
compute.
"""

from vizcore.engine.client import Engine
from vizcore.engine.jobs import Job
from vizcore.engine.protocol import Comparison, Place, RunState

__all__ = ["Comparison", "Engine", "Job", "Place", "RunState"]
