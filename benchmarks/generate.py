"""``python -m benchmarks.generate [digits | faces | cifar10 | squeezenet …]``: generators, their chains, and the ruler.

Each writes its own part of docs/benchmarks.md, a plot of its ruler and a sheet of its pictures.  For SqueezeNet's
filters torch-lucent, torch-dreams and horama are held to the same ruler, in environments of their own
(:mod:`benchmarks.peers`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import painters
from benchmarks.pages import FOLDER, enlarged
from benchmarks.peers import reference
from benchmarks.peers.cases import case
from benchmarks.peers.rivals import PeerError, rival
from benchmarks.report import Result, machine, place, replace
from vizcore import ruler
from vizcore.export import contact_sheet
from vizcore.generate import files
from vizcore.generate.condition import Classes, Eyes
from vizcore.generate.sampler import Sampler
from vizcore.generate.spec import walk
from vizcore.generate.training import quality
from vizcore.look.pictures import fit
from vizcore.rulerplot import plot
from vizcore.rulertable import COLUMNS, table

STEPS, FILTERS = 200, tuple(range(3))
SEEDS = {"digits": 3, "faces": 1, "cifar10": 1, "squeezenet": 1}
ALL = {"faces": 128, "cifar10": 128, "squeezenet": 96}  # steps of every method, where its own number would take an hour
REAL = {"digits": 5000, "faces": 3000, "cifar10": 3000, "squeezenet": 200}
DIGITS = {"size": 3.0, "kept": 95.0, "reached": 10.0, "seen": 9.0, "seconds": 0.5, "nearer": 30.0}
RIVALS = {"torch-dreams": 120, "horama": 96}  # steps: its default; as many as the others are given here


@dataclass
class Measured:
    """What one painter's part of the page says."""

    results: list[Result] = field(default_factory=list)
    lengths: list[ruler.Length] = field(default_factory=list)
    tiles: list[np.ndarray] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def chains(key: str, name: str) -> tuple[int, int, float]:
    """Of the classes: how many are reached, how many the judge takes for them; CPU seconds of a chain of them."""
    what, made, found = painters.PAINTERS[key], painters.generator(key), painters.judge(key)
    assert made is not None
    assert found is not None
    network, classes = painters.network(key), what.classes
    began = time.process_time()
    condition = Classes(Eyes(network, made, what.fit), classes)
    *_, last = Sampler(walk(name, {"steps": STEPS}), made, classes, condition)
    seconds = (time.process_time() - began) / len(classes)
    with torch.no_grad():
        own, theirs = (n.module(n.normalize(last.pictures)).argmax(1).tolist() for n in (network, found[0]))
    return *(sum(a == b for a, b in zip(seen, classes, strict=True)) for seen in (own, theirs)), seconds


def measure(key: str) -> Measured | None:
    """Chains and ruler of a painter; None where pictures or generator are missing."""
    what, data, made = painters.PAINTERS[key], painters.dataset(key), painters.generator(key)
    if data is None or data.test is None or made is None:
        print(f"{key}: data or generator are not there; left out", flush=True)
        return None
    found, target = Measured(), DIGITS if key == "digits" else {}
    judge = painters.judge(key)
    if judge is not None:
        folder = files.bundled().get(what.generator, painters.OUT / what.generator)
        size = (folder / files.WEIGHTS).stat().st_size / 1e6
        kept = quality(made, data.test)
        found.results += [
            Result("size", size, "MB", "lower", target.get("size")),
            Result("class kept by encode and decode", 100 * kept["class_kept"], "%", "higher", target.get("kept")),
        ]
        of = len(what.classes)
        for name in ("dgn-am", "ppgn"):
            own, theirs, seconds = chains(key, name)
            found.results += [
                Result(f"{name}: classes of {of} that are reached", own, "", "higher", target.get("reached")),
                Result(f"{name}: classes of {of} that the judge sees", theirs, "", "higher", target.get("seen")),
                Result(f"{name}: a chain of {STEPS} steps, one thread", seconds, "CPU s", "lower",
                       target.get("seconds")),
            ]  # fmt: skip
    rule(key, found, judge[0] if judge else None)
    near = {name: [one.nearest for one in found.lengths if one.method == name] for name in ("pixel", "dgn-am", "ppgn")}
    for name in ("dgn-am", "ppgn"):
        share = 100 * (1 - float(np.mean(near[name])) / float(np.mean(near["pixel"])))
        found.results.append(
            Result(f"{name}: nearer to real pictures than pixel ascent", share, "%", "higher", target.get("nearer"))
        )
    return found


def rule(key: str, found: Measured, judge: painters.Network | None) -> None:
    """Lengths and pictures of every method."""
    what, data, seeds = painters.PAINTERS[key], painters.dataset(key), SEEDS[key]
    assert data is not None
    assert data.test is not None
    layer, units = (what.units, FILTERS) if judge is None else ("", what.classes)
    rows = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))[: REAL[key]]
    order = ruler.Order(layer, units, ruler.METHODS, seeds, ALL.get(key, 0))
    one = ruler.Ruler(
        painters.network(key), order, data.test.images[rows], painters.generator(key), judge, what.fit
    )  # fmt: skip
    for method, pictures, lengths in one.measure():
        keep(found, method, pictures if method == ruler.REAL else pictures[::seeds], lengths)
    if key == "squeezenet":
        for method, pictures, seconds in rivals(found):
            keep(found, method, pictures, one.lengths(method, pictures[:, None], seconds))


def keep(found: Measured, method: str, pictures: np.ndarray, lengths: list[ruler.Length]) -> None:
    """Put a method's pictures and lengths to the others."""
    found.lengths += lengths
    found.tiles += list(pictures)
    found.captions += [f"{method} {one.unit}" for one in lengths]
    print(method, {c: round(float(np.mean([getattr(one, c) or 0 for one in lengths])), 3) for c in COLUMNS}, flush=True)


def rivals(found: Measured) -> Iterator[tuple[str, np.ndarray, float]]:
    """Pictures of the same filters by other tools, with their seconds each; those that cannot be had are noted."""
    whole = case("squeezenet1_0", painters.PAINTERS["squeezenet"].units, len(FILTERS), 224)
    assert whole is not None
    try:
        small = reference.reference(whole)[reference.STEPS]
        pictures = np.stack([fit(picture, whole.size) for picture in small])  # it ascends 128 px and enlarges, too
        yield "torch-lucent", pictures, 0.0
        found.notes.append(
            "torch-lucent makes 512 steps; its pictures are kept, how long it takes is among the tables of speed."
        )
    except PeerError as error:
        found.notes.append(f"torch-lucent: {error}.")
    for tool, steps in RIVALS.items():
        try:
            with rival(tool, whole) as at_work:
                seconds = at_work.run(steps) / len(FILTERS)
                pictures = at_work.pictures()
        except (PeerError, OSError) as error:
            found.notes.append(f"{tool}: {error}.")
            continue
        found.notes.append(f"{tool} makes {steps} steps.")
        yield tool, pictures, seconds


def write(key: str, found: Measured) -> None:
    """The part of the page, the plot, the sheet."""
    what, rows = painters.PAINTERS[key], table([asdict(one) for one in found.lengths])
    judge = painters.judge(key)
    units = sorted({one.unit for one in found.lengths})
    lines = [f"### {what.title}\n"]
    heard = f"; the judge's accuracy is {judge[1]:.1%}" if judge else ""
    lines.append(
        f"`python -m benchmarks.generate {key}`, on {place(machine())}: `{Path(what.model).name}`, "
        f"`{what.generator}`{heard}.\n"
    )
    lines += ["| what | value | target | met |", "|---|---|---|---|"]
    for one in found.results:
        sign = {"higher": "≥", "lower": "≤"}[one.better]
        goal = "" if one.target is None else f"{sign} {one.target:g} {one.unit}"
        met = {True: "yes", False: "**no**", None: ""}[one.ok]
        lines.append(f"| {one.name} | {one.value:.3g} {one.unit} | {goal} | {met} |")
    subject = f"filters {units[0]} to {units[-1]} of `{what.units}`" if judge is None else f"{len(units)} classes"
    fewer = f"; vizcore's methods make {ALL[key]} steps" if key in ALL else ""
    lines += [
        f"\nMeans over {subject} and {SEEDS[key]} seed{'s' * (SEEDS[key] > 1)} ± deviation over them, against "
        f"{REAL[key]:,} real pictures{fewer}.\n",
        "| method | " + " | ".join(name.replace("_", " ") for name in COLUMNS) + " |",
        "|" + "---|" * (len(COLUMNS) + 1),
    ]  # fmt: skip
    for row in rows:
        numbers = ["" if row[c] is None else f"{row[c]:.2f} ± {row[f'{c}_sd']:.2f}" for c in COLUMNS[:-1]]
        numbers.append(f"{row['seconds']:.2f}" if row["seconds"] else "")
        lines.append(f"| {row['method']} | " + " | ".join(numbers) + " |")
    drawn, sheet = FOLDER / f"ruler-{key}.svg", FOLDER / f"ruler-{key}.webp"
    FOLDER.mkdir(exist_ok=True)
    drawn.write_text(plot(rows, f"{what.title}: {subject.replace('`', '')}", COLUMNS), encoding="utf-8")
    picture = contact_sheet(enlarged(found.tiles, 96 if key == "squeezenet" else 56), found.captions, len(units))
    Image.fromarray(picture).save(sheet, "WEBP", quality=80, method=6)
    lines += [f"\n![The ruler, {what.title}](gallery/{drawn.name})", *(f"\n{note}" for note in found.notes)]
    lines.append("\nThe pictures, one seed of each method:")
    lines.append(f"\n![Pictures that were measured, {what.title}](gallery/{sheet.name})")
    replace(f"generators-{key}", "\n".join(lines))


def main(names: list[str]) -> int:
    """Measure and write."""
    unknown = [name for name in names if name not in painters.PAINTERS]
    if unknown:
        print(f"There is nothing to measure of {unknown[0]}. Use {', '.join(painters.PAINTERS)}.", file=sys.stderr)
        return 2
    torch.set_num_threads(1)  # networks this small wait longer for threads than they compute
    for key in names or list(painters.PAINTERS):
        found = measure(key)
        if found is not None:
            for one in found.results:
                print(f"{key}: {one.name}: {one.value:.4g} {one.unit} {'' if one.ok is None else one.ok}", flush=True)
            write(key, found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
