"""What a measurement says, and where it is written: ``benchmarks/results.json`` and ``docs/benchmarks.md``."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = HERE.parent / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Result:
    """One number.

    Args:
        target: what it is held against, or None when it is only reported.
        better: ``"higher"`` or ``"lower"``.
        spread: half the distance between the quartiles of the repetitions, in the same unit.
    """

    name: str
    value: float
    unit: str
    better: str
    target: float | None = None
    spread: float | None = None
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "higher" else self.value <= self.target


def measured(
    name: str, values: Sequence[float], unit: str, better: str, target: float | None = None, note: str = ""
) -> Result:
    """The median of some repetitions, with their spread."""
    spread = None
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4)
        spread = (high - low) / 2
    return Result(name, statistics.median(values), unit, better, target, spread, note)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(percent / 100 * len(ordered) + 0.5) - 1))]


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    import torch

    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    model = names[0] if names else platform.processor() or platform.machine()
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "amx": "amx_bf16" in text,
        "avx512_bf16": "avx512_bf16" in text,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def save(results: Iterable[Result]) -> None:
    """Merge the results into the file (by name) and write the page anew; numbers of another machine are dropped."""
    if read().get("machine", machine()) != machine():
        RESULTS.unlink()
    known: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in read().get("results", [])}
    day = datetime.date.today().isoformat()
    for result in results:
        known[result.name] = {**asdict(result), "ok": result.ok, "date": day}
    data = {**read(), "machine": machine(), "date": day, "results": list(known.values())}
    _write(data)
    write_page(data)


def read() -> dict[str, Any]:
    """All that the file holds; empty before the first measurement."""
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {}


def keep(name: str, value: Any) -> None:
    """Put a part of its own into the file, beside the results."""
    _write({**read(), name: value})


def _write(data: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(data, indent=1) + "\n")


def place(about: dict[str, Any]) -> str:
    """A machine in a few words."""
    unit = ", AMX" if about["amx"] else ", AVX512-BF16" if about.get("avx512_bf16") else ""
    return f"{about['processor']}, {about['cores']} cores{unit}, {about['gpu'] or 'no GPU'}"


def replace(name: str, text: str) -> None:
    """Put a text between the markers ``<!-- name -->`` and ``<!-- /name -->`` of the page."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    page = PAGE.read_text() if PAGE.exists() else "# Benchmarks\n"
    if begin not in page:
        page += f"\n{begin}\n{end}\n"
    head, rest = page.split(begin, 1)
    PAGE.write_text(head + begin + "\n" + text + "\n" + end + rest.split(end, 1)[1])


def write_page(data: dict[str, Any]) -> None:
    """Put the tables between the markers of the page, whose text is written by hand; some parts have their own."""
    own = {
        name: [one for one in data["results"] if one["name"].startswith(f"{name}:")]
        for name in ("travel", "camera", "atlas")
    }
    rest = [entry for entry in data["results"] if not any(entry in entries for entries in own.values())]
    for name, entries in {"table": rest, **own}.items():
        if entries:
            replace(name, _table(data, entries))


def _table(data: dict[str, Any], entries: Iterable[dict[str, Any]]) -> str:
    lines = [f"Measured {data['date']} on {place(data['machine'])}; torch {data['machine']['torch']}.", ""]
    lines += ["| what | median | spread | target | met |", "|---|---|---|---|---|"]
    for entry in entries:
        sign = {"higher": "≥", "lower": "≤"}[entry["better"]]
        target = "" if entry["target"] is None else f"{sign} {entry['target']:g} {entry['unit']}"
        met = {True: "yes", False: "**no**", None: ""}[entry["ok"]]
        spread = "" if entry["spread"] is None else f"± {entry['spread']:.3g}"
        note = f" ({entry['note']})" if entry["note"] else ""
        lines.append(f"| {entry['name']}{note} | {entry['value']:.4g} {entry['unit']} | {spread} | {target} | {met} |")
    return "\n".join(lines)
