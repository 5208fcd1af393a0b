"""Train ``digits-generator``: ``python models/digits-generator/train.py FOLDER``, with the MNIST files in FOLDER.

The code is ``relu3`` of ``digits``.  Under three minutes on two CPU cores; a run that was cut off goes on, and a
finished one is replaced with ``--fresh``.  Further options are those of ``vizcore train-generator``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vizcore.cli import main

COMMAND = ["train-generator", "mnist", "--title", "Handwritten digits", "--steps", "1000", "--denoisers", "600"]

if __name__ == "__main__":
    folder, *more = sys.argv[1:]
    sys.argv[1:] = [*COMMAND, "--data", "FOLDER", *more]  # what the card says
    sys.exit(main([*COMMAND, "--data", folder, "--out", str(Path(__file__).parent), *more]))
