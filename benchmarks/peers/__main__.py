"""``python -m benchmarks.peers [PART ...] [--full] [--only TEXT]``: one part of the comparison, or a case of it."""

from __future__ import annotations

import argparse
import sys

from benchmarks.peers.speed import ROUNDS
from benchmarks.peers.suite import PARTS, run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all of them without a name")
parser.add_argument("--full", action="store_true", help="every network, layer, count of filters and size")
parser.add_argument("--only", default="", help="only cases whose title has this text in it")
parser.add_argument("--rounds", type=int, default=ROUNDS, help="in which the tools take turns")
parser.add_argument("--filters", type=int, default=16, help="on which scores are measured, at most 16")
parser.add_argument("--missing", action="store_true", help="go on with --full: only what has not been measured yet")
options = parser.parse_args()
run(
    options.parts or list(PARTS), full=options.full, only=options.only, rounds=options.rounds,
    filters=options.filters, missing=options.missing,
)  # fmt: skip
sys.exit(0)
