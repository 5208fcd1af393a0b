"""Train ``cifar10``: ``python models/cifar10/train.py [--data PATH]``; about half an hour on one core with bf16.

The data set is fetched if ``--data`` does not say where it lies.  Further options are those of ``vizcore train``, such
as ``--fresh``, which replaces the weights here; cut off, it goes on after the last epoch.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vizcore.cli import main

COMMAND = [
    "train", "cifar10", "--title", "CIFAR-10", "--arch", "small-resnet", "--option", "stem=[32,3,1]",
    "--optimizer", "sgd", "--lr", "0.4", "--batch-size", "256", "--epochs", "14", "--average", "0.99",
    "--validate", "0.02", "--augment", "flip,crop:4,cutout:8", "--half",
    "--out", os.path.relpath(Path(__file__).parent),
]  # fmt: skip

if __name__ == "__main__":
    sys.exit(main([*COMMAND, *sys.argv[1:]]))
