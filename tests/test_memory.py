"""Freed memory stays for the next step.  In a process of its own: the setting is for good."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from vizcore.memory import keep_freed, give_back
kept = keep_freed() if sys.argv[1] == "keep" else False
for _ in range(20):
    torch.ones(10 * 2**20)  # until the heap has a place for it
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(10 * 2**20)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
give_back()
torch.ones(10 * 2**20)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> tuple[bool, int, int]:
    command = [sys.executable, "-c", FAULTS, mode]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.split("\n")
    kept, first = lines[0].split()
    return kept == "True", int(first), int(lines[1].split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is asked, and only glibc answers")
def test_freed_memory_is_used_again_without_asking_the_system() -> None:
    usual, (kept, held, after) = faults("leave"), faults("keep")
    if not kept:
        pytest.skip("the C library is not glibc")
    assert held < 100 < usual[1] / 10  # ten times 40 MB are 100,000 pages
    assert after - held > 1000  # what was given back has to be fetched again
