"""Train ``faces-robust``: ``python models/faces-robust/train.py --data PATH``, with FER2013 in PATH, about 13 minutes.

It begins with the weights of ``faces`` and goes on against perturbations.  Further options are those of
``vizcore train``, such as ``--fresh``, which replaces the weights here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vizcore.cli import main

HERE = Path(os.path.relpath(Path(__file__).parent))
ROBUST = [
    "train", "fer2013", "--title", "Faces, trained to resist attacks", "--start", "faces", "--robust", "l2:0.5:1",
    "--optimizer", "sgd", "--lr", "0.1", "--batch-size", "64", "--epochs", "6", "--smoothing", "0.1",
    "--average", "0.995", "--augment", "flip,crop:3,zoom:0.1,rotate:10", "--half", "--out", str(HERE),
]  # fmt: skip

if __name__ == "__main__":
    sys.exit(main([*ROBUST, *sys.argv[1:]]))
