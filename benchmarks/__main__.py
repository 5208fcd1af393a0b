"""``python -m benchmarks [NAME ...] [--full]``: run measurements, all of them without a name.

``--full`` compares with peers on every network, layer, count of filters and size, which takes hours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks import atlas, camera, generate, live, look, render, step, train, travel, travel_page
from benchmarks.peers import suite as peers
from benchmarks.report import Result, save

SUITES: dict[str, Callable[[], list[Result]]] = {
    "render": render.render,
    "step": step.step,
    "look": look.look,
    "train": train.train,
    "overhead": live.overhead,
    "page": live.page,
    "soak": live.soak,
    "camera": camera.camera,
    "atlas": lambda: [result for part in atlas.PARTS.values() for result in part()],
    "travel": lambda: [*travel.travel(), *(result for part in travel_page.PARTS.values() for result in part())],
}
PARTS: dict[str, Callable[[], list[Result]]] = {
    f"travel.{name}": part for name, part in (travel.PARTS | travel_page.PARTS).items()
} | {f"atlas.{name}": part for name, part in atlas.PARTS.items()}


def main(names: list[str]) -> int:
    """Run the suites, or parts of them, and print what they say; 2 for an unknown name."""
    full = "--full" in names
    names = [name for name in names if name != "--full"]
    known = SUITES | PARTS
    unknown = [name for name in names if name not in (*known, "peers", "generate")]
    if unknown:
        print(f"There is no benchmark {unknown[0]}. Use: {', '.join(known)}, peers, generate.", file=sys.stderr)
        return 2
    for name in names or [*SUITES, "peers", "generate"]:
        if name == "peers":  # it writes tables of its own
            peers.run(full=full)
            continue
        if name == "generate":  # so does this
            generate.main([])
            continue
        results = known[name]()
        for result in results:
            spread = "" if result.spread is None else f" ± {result.spread:.3g}"
            print(
                f"{result.name}: {result.value:.4g}{spread} {result.unit} {'' if result.ok is None else result.ok}",
                flush=True,
            )
        save(results)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
