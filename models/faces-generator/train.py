"""Train ``faces-generator``: ``python models/faces-generator/train.py PATH``, with the pictures of FER2013 in PATH.

The code is ``block3`` of ``faces``.  Minutes on one core that multiplies bf16; a run that was cut off goes on, and a
finished one is replaced with ``--fresh``.  Further options are those of ``vizcore train-generator``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vizcore.cli import main

COMMAND = ["train-generator", "fer2013", "--title", "Faces", "--steps", "1200", "--denoisers", "300", "--half"]

if __name__ == "__main__":
    path, *more = sys.argv[1:]
    sys.argv[1:] = [*COMMAND, "--data", "PATH", *more]  # what the card says
    sys.exit(main([*COMMAND, "--data", path, "--out", str(Path(__file__).parent), *more]))
