"""A virtual environment for each tool, made on demand under the user's cache folder.

Only the tool and what it imports come from the package index.  torch, torchvision, numpy and Pillow are those of the
environment that the benchmark runs in, found through a path file, so that every tool computes with the same torch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import platformdirs

CACHE = Path(os.environ.get("VIZCORE_BENCH_CACHE", platformdirs.user_cache_dir("vizcore-bench")))

# --no-deps, since the tools ask for things that ascending a picture never imports (scikit-learn, mkl, coveralls).
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "torch-lucent": ("torch-lucent==0.1.8", "kornia==0.4.1", "decorator", "tqdm", "ipython", "traitlets"),
    "torch-dreams": ("torch-dreams==4.0.0", "opencv-python-headless", "tqdm"),
    "horama": ("horama==0.3.0", "einops", "tqdm", "matplotlib", "contourpy", "cycler", "fonttools", "kiwisolver",
               "pyparsing", "python-dateutil", "six", "packaging"),
}  # fmt: skip
ABSENT = {"captum.optim": "on the optim-wip branch of captum only; no release on the package index has it (0.9.0)"}


def python(tool: str) -> Path:
    """The interpreter of a tool's environment, which is made if it is not there; ours for those that need none."""
    if tool not in REQUIREMENTS:
        return Path(sys.executable)
    folder = CACHE / tool
    ready = folder / "ready.txt"
    interpreter = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = "\n".join((sys.version, sysconfig.get_path("purelib"), *REQUIREMENTS[tool]))
    if not ready.exists() or ready.read_text() != wanted:
        print(f"peers: making an environment for {tool} in {folder}", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        command = [str(interpreter), "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        subprocess.run([*command, *REQUIREMENTS[tool]], check=True)
        own = subprocess.run(
            [str(interpreter), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout.strip()  # fmt: skip
        (Path(own) / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
        ready.write_text(wanted)
    return interpreter
