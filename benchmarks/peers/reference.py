"""What torch-lucent reaches with its defaults: pictures of each filter after 512 steps, kept in the cache folder.

Its default picture has 128 px and is enlarged to 224 before the network sees it.  The pictures are made some filters
at a time and with the network trimmed (see :mod:`benchmarks.peers.tools.lucent_`), which changes nothing in them; how
long they take is measured on torch-lucent as it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.peers.cases import Case
from benchmarks.peers.environments import CACHE
from benchmarks.peers.rivals import rival

STEPS, CANVAS, TOGETHER = 512, 128, 2
KEPT = (64, 128, 256, STEPS)  # steps whose pictures are kept


def reference(case: Case) -> dict[int, np.ndarray]:
    """Pictures ``[N, 128, 128, 3]`` uint8 by step, one row for each filter of the case."""
    parts = [_part(case, case.channels[at : at + TOGETHER]) for at in range(0, len(case.channels), TOGETHER)]
    return {step: np.concatenate([part[str(step)] for part in parts]) for step in KEPT}


def _part(case: Case, channels: tuple[int, ...]) -> dict[str, np.ndarray]:
    name = f"{case.arch}-{case.layer}-{'-'.join(map(str, channels))}.npz"
    path = CACHE / "torch-lucent-pictures" / name
    if not path.exists():
        print(f"peers: torch-lucent's pictures of {case.arch} {case.layer} {list(channels)}", flush=True)
        kept = {}
        with rival("torch-lucent", replace(case, channels=channels), canvas=CANVAS, trimmed=True) as lucent:
            for before, step in zip((0, *KEPT), KEPT, strict=False):
                lucent.run(step - before)
                kept[str(step)] = lucent.pictures()
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part.npz")
        np.savez_compressed(beside, **kept)
        beside.replace(path)
    loaded: dict[str, np.ndarray] = dict(np.load(path))
    return loaded
