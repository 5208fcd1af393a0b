"""Train ``faces``: ``python models/faces/train.py --data PATH``, with FER2013 in PATH, about ten minutes.

Further options are those of ``vizcore train``, such as ``--fresh``, which replaces the weights here.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vizcore.cli import main

COMMAND = [
    "train", "fer2013", "--title", "Faces", "--arch", "small-resnet", "--option", "stem=[32,3,1]",
    "--option", "widths=[32,64,128]", "--optimizer", "sgd", "--lr", "0.1", "--batch-size", "64", "--epochs", "5",
    "--average", "0.99", "--smoothing", "0.1", "--augment", "flip,crop:3,zoom:0.1,rotate:10", "--half",
    "--out", str(Path(__file__).parent),
]  # fmt: skip

if __name__ == "__main__":
    sys.exit(main([*COMMAND, *sys.argv[1:]]))
