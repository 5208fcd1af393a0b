"""Train ``cifar10``: ``python models/cifar10/train.py [--data PATH]``; about an hour on one core with bf16.

Three rounds, each of which begins with what the one before has learnt and brings its rate down to 0.  The last takes
the largest of four neighbours where the first two skip three of them, and sees no cut-outs.  The data set is fetched if
``--data`` does not say where it lies.  Further options are those of ``vizcore train``, such as ``--fresh``, which
replaces the weights here; cut off, it goes on after the last epoch.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vizcore.cli import rounds

HERE = Path(os.path.relpath(Path(__file__).parent))
ALL = [
    "train", "cifar10", "--title", "CIFAR-10", "--optimizer", "sgd", "--batch-size", "256", "--average", "0.99",
    "--validate", "0.02", "--half",
]  # fmt: skip
FIRST = [
    *ALL, "--arch", "small-resnet", "--option", "stem=[32,3,1]", "--lr", "0.4", "--epochs", "14",
    "--augment", "flip,crop:4,cutout:8", "--out", str(HERE / "first"),
]  # fmt: skip
SECOND = [
    *ALL, "--start", str(HERE / "first" / "weights.safetensors"), "--lr", "0.15", "--epochs", "6",
    "--augment", "flip,crop:4", "--out", str(HERE / "second"),
]  # fmt: skip
THIRD = [
    *ALL, "--start", str(HERE / "second" / "weights.safetensors"), "--option", "pool=true", "--lr", "0.2",
    "--epochs", "4", "--augment", "flip,crop:4", "--out", str(HERE),
]  # fmt: skip

if __name__ == "__main__":
    sys.exit(rounds.train([FIRST, SECOND, THIRD], sys.argv[1:]))
