"""Draw the poster of the page's first paint: ``python -m benchmarks.poster``.

A sheet of 4 x 4 finished pictures of the bundled network's showcase filters, which a live run then replaces.
Run it again when the weights or the default preset have changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image

from vizcore.ascent import ascend
from vizcore.spec import build
from vizcore.zoo.card import default_size
from vizcore.zoo.load import load

OUT = Path(__file__).parents[1] / "app" / "static" / "poster.webp"
COLUMNS = 4  # the page's template and stage.js cut the sheet into 4 x 4
QUALITY = 82  # WebP; about 100 kB for 512 x 512


def draw(model: str, steps: int, device: str, seed: int = 0) -> Image.Image:
    """The sheet: the pictures after ``steps`` steps of the default preset."""
    network = load(model)
    card = network.card
    channels = card.showcase_channels[: COLUMNS**2]
    side = default_size(card, "cpu")
    spec = build(model, card.showcase_layer, channels, size=side, steps=steps, seed=seed)
    for frame in ascend(spec, network, device=device, keep=lambda step: step == steps):
        print(f"\rstep {frame.step}/{steps}", end="", flush=True)
        last = frame
    print()
    assert last.images is not None
    sheet = Image.new("RGB", (COLUMNS * side, COLUMNS * side), (46, 46, 46))
    for index, picture in enumerate(last.images):
        row, column = divmod(index, COLUMNS)
        sheet.paste(Image.fromarray(picture.squeeze()).convert("RGB"), (column * side, row * side))
    return sheet


def main() -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="imagenette-robust")
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    draw(args.model, args.steps, args.device).save(args.out, quality=QUALITY, method=6)
    print(f"{args.out.name}: {args.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
