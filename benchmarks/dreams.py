"""``python -m benchmarks.dreams``: what dreams cost, and whether MACO excites filters, on the shared SqueezeNet.

Each number is measured in a process of its own, on two threads; memory is the process's peak.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import numpy as np
import torch

from benchmarks.render import SHARED
from benchmarks.step import SQUEEZENET
from vizcore.ascent import ascend, score
from vizcore.assets import keep_picture
from vizcore.dreamspec import dream
from vizcore.look.pictures import fit, read
from vizcore.memory import keep_freed
from vizcore.spec import build
from vizcore.zoo.load import load

LAYER = "features.7"
PHOTOGRAPHS = sorted((SHARED / "images").glob("*.jpg"))


def whole(side: int) -> dict[str, float]:
    """Seconds of 4 octaves of 10 steps on a photograph, and MiB at the peak."""
    network = load(str(SQUEEZENET), "squeezenet1_0")
    spec = dream("squeezenet1_0", LAYER, source=keep_picture(PHOTOGRAPHS[3]), side=side)
    begin = time.perf_counter()
    for _ in ascend(spec, network):
        pass
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def maco() -> dict[str, float]:
    """Of 16 filters: how many of the preset's pictures excite them above the highest of the photographs."""
    network = load(str(SQUEEZENET), "squeezenet1_0")
    spec = build("squeezenet1_0", LAYER, range(16), "MACO", size=128)
    *_, frame = ascend(spec, network, keep=lambda step: step == spec.steps)
    assert frame.images is not None
    found = score(spec, network, torch.from_numpy(frame.images).permute(0, 3, 1, 2).float() / 255).numpy()
    real = []
    for path in PHOTOGRAPHS:
        picture = torch.from_numpy(fit(read(path), spec.size).copy()).permute(2, 0, 1).float() / 255
        real.append(score(spec, network, picture.expand(16, -1, -1, -1)).numpy())
    highest = np.max(real, axis=0)
    return {"above": float((found > highest).sum()), "ratio": float(np.median(found / highest))}


PARTS = {"512": lambda: whole(512), "2048": lambda: whole(2048), "maco": maco}


def main(names: list[str]) -> int:
    """Print a line of JSON for each part; of one name, in this process."""
    if len(names) == 1:
        keep_freed()
        torch.set_num_threads(2)
        print(json.dumps({"name": names[0], **PARTS[names[0]]()}), flush=True)
        return 0
    return max(
        subprocess.run([sys.executable, "-m", "benchmarks.dreams", name], check=False).returncode for name in PARTS
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
