"""Train ``cifar10-generator``: ``python models/cifar10-generator/train.py PATH``, with CIFAR-10 in PATH.

The code is ``block3`` of ``cifar10``.  Minutes on one core that multiplies bf16; a run that was cut off goes on, and a
finished one is replaced with ``--fresh``.  Further options are those of ``vizcore train-generator``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vizcore.cli import main

COMMAND = ["train-generator", "cifar10", "--title", "CIFAR-10", "--steps", "900", "--denoisers", "150", "--half"]

if __name__ == "__main__":
    path, *more = sys.argv[1:]
    sys.argv[1:] = [*COMMAND, "--data", "PATH", *more]  # what the card says
    sys.exit(main([*COMMAND, "--data", path, "--out", str(Path(__file__).parent), *more]))
