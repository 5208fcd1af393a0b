"""The camera: how often the maps of its pictures are on the page, and how long after the picture was taken."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import quote

from benchmarks.live import browser, serving
from benchmarks.report import Result, measured, percentile
from benchmarks.step import SQUEEZENET

LAYER = "features.3.expand3x3_activation"  # 64 maps of 54 × 54
FLAGS = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
SECONDS = 10


def camera() -> list[Result]:
    """Activations alone, and with the deconvnet of the held unit following; nothing without the shared weights."""
    if not SQUEEZENET.exists():
        print("camera: the shared weights are not beside the checkout; left out")
        return []
    results = []
    for method, what in (
        ("ig", "64 maps of SqueezeNet at 224 px"),
        ("deconv", "the same, deconvnet of a unit follows"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            with serving(home, "--model", str(SQUEEZENET), "--arch", "squeezenet1_0") as (address, _):
                page = f"?page=image&model={quote(str(SQUEEZENET))}&layer={LAYER}&unit=3&method={method}"
                url = f"{address}/bench?script=camera&seconds={SECONDS}&address={quote(page)}"
                data = browser(url, home, *FLAGS)
        rates = data["rates"]  # of each second
        results += [
            measured(f"camera: {what}, updates", rates, "/s", "higher", 15.0),
            Result(f"camera: {what}, latency, median", percentile(data["latency"], 50), "ms", "lower"),
            Result(f"camera: {what}, latency, 95th percentile", percentile(data["latency"], 95), "ms", "lower", 150.0),
            Result(f"camera: {what}, requests under way at once", data["most"], "", "lower", 1.0),
        ]
        print({name: data[name] for name in ("network", "backs", "stages")})
    return results
