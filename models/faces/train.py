"""Train ``faces``: ``python models/faces/train.py --data PATH``, with FER2013 in PATH, about ten minutes.

Two rounds, each of which brings its rate down to 0: the second begins with what the first has learnt.  Further options
are those of ``vizcore train``, such as ``--fresh``, which replaces the weights here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vizcore.cli import rounds

HERE = Path(os.path.relpath(Path(__file__).parent))
BOTH = [
    "train", "fer2013", "--title", "Faces", "--optimizer", "sgd", "--batch-size", "64", "--epochs", "5",
    "--smoothing", "0.1", "--augment", "flip,crop:3,zoom:0.1,rotate:10", "--half",
]  # fmt: skip
FIRST = [
    *BOTH, "--arch", "small-resnet", "--option", "stem=[32,3,1]", "--option", "widths=[32,64,128]", "--lr", "0.1",
    "--average", "0.99", "--out", str(HERE / "first"),
]  # fmt: skip
SECOND = [
    *BOTH, "--start", str(HERE / "first" / "weights.safetensors"), "--lr", "0.08", "--average", "0.995",
    "--out", str(HERE),
]  # fmt: skip

if __name__ == "__main__":
    sys.exit(rounds.train([FIRST, SECOND], sys.argv[1:]))
