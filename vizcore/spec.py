"""A run as a value: all that is needed to repeat it, and the presets to start from."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vizcore.errors import SpecError
from vizcore.generate import spec as walks
from vizcore.params import Param, Value, collect, param

MAX_FILTERS = 64
SCHEMA = 1  # of the dict; raised when a field changes its meaning

# A rate for mean-subtracted pixels on a 0 to 255 scale is a rate / 255^2 for pixels on a 0 to 1 scale:
# the chain rule divides the gradient by 255 and the step by 255 (METHODS: Yosinski et al. 2015).
PIXEL = 1.0 / 255.0**2


def _walk(name: str, label: str = "") -> Any:
    """The field of a parameter that :class:`vizcore.generate.spec.Walk` has too."""
    meta = walks.PARAMS[name]
    keys = ("step", "hot", "unit", "log", *(("choices",) if meta.choices else ("minimum", "maximum")))
    given = {key: getattr(meta, key) for key in keys}
    return param(meta.default, label or meta.label, meta.help, "generator", **given)


@dataclass(frozen=True)
class RunSpec:
    """What is ascended, from where, and how.  Equal specs on the same device give equal frames.

    Row ``i`` of the batch maximises ``objective`` for ``channels[i]`` of ``layer``; where several chains walk towards
    each filter or class, for ``targets[i]``: row ``channel`` is chain ``channel % chains`` of ``channel // chains``.
    """

    model: str
    layer: str
    channels: tuple[int, ...]
    objective: str = "channel"
    arch: str | None = None
    preset: str = "Crisp"
    picture: str = ""  # what inversion, caricature and guided dreams aim at, as vizcore.assets names it
    source: str = ""  # the picture that a dream or a code starts from; noise if empty
    spectrum: str = ""  # a table of magnitudes for maco, as vizcore.spectrum names it; the bundled one if empty
    generator: str = ""  # as vizcore.generate.names has it; the one that fits the network if empty
    mask: str = ""  # the part of ``source`` that is known (white) where a generator paints the rest

    size: int = param(
        128, "Size", "Height and width of the picture.", "look", minimum=16, maximum=512, step=16, unit="px",
        codes=False,
    )  # fmt: skip
    steps: int = param(
        256,
        "Steps",
        "How long the ascent goes on; raise it at any time.",
        "look",
        minimum=1,
        maximum=8192,
        step=32,
        log=True,
        hot=True,
    )
    rate: float = param(
        0.05, "Rate", "Length of a step.", "look", minimum=1e-6, maximum=1e4, step=0.001, log=True, hot=True
    )
    jitter: int = param(
        8, "Jitter", "Shifts the picture at random by up to this much before each step.", "look",
        minimum=0, maximum=32, step=1, hot=True, unit="px",
    )  # fmt: skip
    seed: int = param(0, "Seed", "Start of the random numbers.", "look", minimum=0, maximum=2**31 - 1, step=1)

    scale: float = param(
        10.0, "Scale", "Zooms the picture at random by up to this much.", "transforms",
        minimum=0, maximum=20, step=1, hot=True, unit="%",
    )  # fmt: skip
    rotate: float = param(
        10.0, "Rotate", "Turns the picture at random by up to this much.", "transforms",
        minimum=0, maximum=30, step=1, hot=True, unit="°",
    )  # fmt: skip
    pad: int = param(
        4, "Pad", "Frames the picture in grey before it is moved.", "transforms",
        minimum=0, maximum=32, step=1, hot=True, unit="px",
    )  # fmt: skip

    crops: int = param(
        0, "Crops", "Looks at this many random crops of the picture, scaled to its size, instead of at all of it.",
        "transforms", minimum=0, maximum=32, step=1, hot=True,
    )  # fmt: skip
    crop_first: float = param(
        70.0, "First crop", "Side of a crop at the first step, give or take a fifth.", "transforms",
        minimum=5, maximum=100, step=1, hot=True, unit="%",
    )  # fmt: skip
    crop_last: float = param(
        40.0, "Last crop", "Side of a crop at the last step; on the way it moves evenly.", "transforms",
        minimum=5, maximum=100, step=1, hot=True, unit="%",
    )  # fmt: skip
    noise: float = param(
        0.0, "Noise", "Deviation of the noise on the picture before each step, of a range of 1.", "transforms",
        minimum=0, maximum=0.5, step=0.01, hot=True,
    )  # fmt: skip

    decay: float = param(
        0.004, "L2 decay", "Shrinks the picture towards grey by this share each step.", "penalties",
        minimum=0, maximum=0.3, step=0.001, hot=True,
    )  # fmt: skip
    blur: float = param(
        0.0, "Blur", "Width of the Gaussian that smooths the picture.", "penalties",
        minimum=0, maximum=3, step=0.1, hot=True, unit="px", codes=False,
    )  # fmt: skip
    blur_every: int = param(
        4, "Blur every", "Steps from one blur to the next.", "penalties", minimum=1, maximum=16, step=1, hot=True,
        codes=False,
    )  # fmt: skip
    small_value: float = param(
        0.0, "Small-value clip", "Sets this share of values, the smallest, to grey.", "penalties",
        minimum=0, maximum=95, step=1, hot=True, unit="%", codes=False,
    )  # fmt: skip
    small_norm: float = param(
        0.0, "Small-norm clip", "Sets this share of pixels, those of the smallest norm over colour, to grey.",
        "penalties", minimum=0, maximum=95, step=1, hot=True, unit="%", codes=False,
    )  # fmt: skip
    small_benefit: float = param(
        0.0, "Small-benefit clip", "Sets this share of pixels, those that would help the score least as grey, to grey.",
        "penalties", minimum=0, maximum=95, step=1, hot=True, unit="%", codes=False,
    )  # fmt: skip
    small_contribution: float = param(
        0.0, "Small-contribution clip", "Sets this share of pixels, those of least influence on the score, to grey.",
        "penalties", minimum=0, maximum=95, step=1, hot=True, unit="%", codes=False,
    )  # fmt: skip
    tv: float = param(
        0.0, "Total variation", "Weight of the penalty on differences between neighbours.", "penalties",
        minimum=0, maximum=100, step=0.0001, log=True, hot=True,
    )  # fmt: skip
    l1: float = param(
        0.0, "L1", "Weight of the penalty on distance from grey.", "penalties",
        minimum=0, maximum=100, step=0.0001, log=True, hot=True,
    )  # fmt: skip

    parameterization: str = param(
        "fourier", "Image",
        "What is ascended: Fourier coefficients, pixels, phases (maco: no penalty bends it), a small painting "
        "network (cppn: no blur, no clips), or the code of a generator (no blur, no clips; decay shrinks the code).",
        "image", choices=("fourier", "pixel", "maco", "cppn", "generator"),
    )  # fmt: skip
    decorrelate: bool = param(
        True, "Decorrelated colour", "Ascends in colours that are independent in photographs.", "image", codes=False,
    )  # fmt: skip
    fourier_decay: float = param(
        1.0, "Fourier decay", "Damps high frequencies; 1 is the spectrum of photographs.", "image",
        minimum=0, maximum=3, step=0.1, codes=False,
    )  # fmt: skip
    start: float = param(
        0.01, "Start noise", "Deviation of the random start (pixels: of a range of 1).", "image",
        minimum=0, maximum=1, step=0.01, codes=False,
    )  # fmt: skip
    optimizer: str = param(
        "adam", "Optimizer", "Adam, or plain ascent as in the paper.", "image", choices=("adam", "ascent"),
        codes=False,
    )  # fmt: skip
    policy: str = param(
        "cosine",
        "Rate policy",
        "How the rate moves with the step.",
        "image",
        choices=("constant", "cosine", "progress"),
        codes=False,
    )
    desired: float = param(
        2.0, "Desired progress", "Gain of score per step that the progress policy aims at.", "image",
        minimum=0, maximum=1000, step=0.1, hot=True, codes=False,
    )  # fmt: skip
    precision: str = param(
        "auto",
        "Precision",
        "Arithmetic of the network; the picture is always fp32.",
        "image",
        choices=("auto", "fp32", "bf16"),
        codes=False,
    )

    octaves: int = param(
        0, "Octaves", "Sizes at which is dreamt, the smallest first; 0 is no dream.", "dream",
        minimum=0, maximum=10, step=1,
    )  # fmt: skip
    octave_scale: float = param(
        1.4, "Octave scale", "From the size of an octave to the next.", "dream", minimum=1.05, maximum=3, step=0.05
    )
    side: int = param(
        512, "Size of the dream", "Its longer side.", "dream", minimum=32, maximum=4096, step=32, unit="px"
    )
    tile: int = param(
        512, "Tile", "Larger pictures go through the network in parts of about this side.", "dream",
        minimum=32, maximum=2048, step=32, unit="px",
    )  # fmt: skip
    zoom_frames: int = param(
        0, "Zoom frames", "Pictures of a journey into the dream, after its last octave.", "dream",
        minimum=0, maximum=2000, step=10,
    )  # fmt: skip
    zoom: float = param(
        3.0,
        "Zoom",
        "How much nearer each picture of the journey is.",
        "dream",
        minimum=0,
        maximum=50,
        step=0.5,
        unit="%",
    )
    zoom_steps: int = param(
        2, "Steps of a zoom frame", "Steps that are dreamt on each picture of the journey.", "dream",
        minimum=1, maximum=50, step=1,
    )  # fmt: skip

    rate_end: float = _walk("rate_end")
    eps1: float = _walk("eps1")
    eps2: float = _walk("eps2")
    eps3: float = _walk("eps3")
    eps4: float = _walk("eps4")
    box: str = _walk("box")
    box_low: float = _walk("low", "Box, low")
    box_high: float = _walk("high", "Box, high")
    reset: int = _walk("reset")
    gradient: str = _walk("gradient")
    prior: str = _walk("prior")
    normalize: bool = _walk("normalize")
    codes: str = _walk("start", "Code start")
    spread: float = _walk("spread")
    space: str = param(
        "codes", "What walks", "Codes of the generator, or the pixels of its pictures (PPGN-x).", "generator",
        choices=("codes", "pixels"),
    )  # fmt: skip
    chains: int = param(
        1, "Chains", "How many walk towards each filter or class.", "generator", minimum=1, maximum=64, step=1
    )
    fit: str = param(
        "exact", "Fit", "How a generator's pictures are fitted to the network: not at all, scaled, or their middle.",
        "generator", choices=("exact", "resize", "crop"),
    )  # fmt: skip

    @property
    def targets(self) -> tuple[int, ...]:
        """The filter or class of each row."""
        return self.channels if self.chains == 1 else tuple(self.target(channel) for channel in self.channels)

    def target(self, channel: int) -> int:
        """The filter or class of the row ``channel``."""
        return channel // self.chains

    @property
    def extent(self) -> int:
        """The longer side of the largest picture, in px."""
        return self.side if self.octaves else self.size

    def __post_init__(self) -> None:
        for name in ("model", "layer", "objective", "preset"):
            value = getattr(self, name)
            if not isinstance(value, str) or (not value and name != "layer") or len(value) > 4096:
                raise SpecError(f"A run needs a {name} as text.", f"Give the {name}.")
        for name in NAMED:
            longest = 4096 if name == "generator" else 64  # a generator may be a folder
            if not isinstance(getattr(self, name), str) or len(getattr(self, name)) > longest:
                raise SpecError(f"The {name} is no name.", "Use one that vizcore gave, or none.")
        if self.arch is not None and not isinstance(self.arch, str):
            raise SpecError("The architecture is a name.", "Use for example arch=squeezenet1_0.")
        object.__setattr__(self, "channels", check_channels(self.channels))
        for name, meta in PARAMS.items():
            object.__setattr__(self, name, meta.coerce(getattr(self, name)))
        if self.octaves and len(self.channels) > 1:
            raise SpecError("A dream has one picture, so it has one filter.", "Choose one filter.")
        if self.octaves and self.steps < self.octaves + self.zoom_frames * self.zoom_steps:
            raise SpecError("The steps do not suffice for all octaves.", "Use more steps, or fewer octaves.")

    def replace(self, **changes: Any) -> RunSpec:
        """A copy with some values changed; raises :class:`SpecError` as the constructor does."""
        unknown = set(changes) - {f.name for f in dataclasses.fields(self)}
        if unknown:
            raise unknown_parameter(min(unknown))
        return dataclasses.replace(self, **changes)

    def hot(self) -> dict[str, Value]:
        """The values of the knobs at step 0."""
        return {name: getattr(self, name) for name in HOT}


PARAMS: dict[str, Param] = collect(RunSpec)
NAMED = ("picture", "source", "spectrum", "generator", "mask")  # fields that name a file (vizcore.assets)
HOT: tuple[str, ...] = tuple(name for name, meta in PARAMS.items() if meta.hot)

_PAPER: dict[str, Value] = {
    "parameterization": "pixel", "decorrelate": False, "optimizer": "ascent", "start": 10 / 255,
    "jitter": 0, "scale": 0.0, "rotate": 0.0, "pad": 0, "decay": 0.0,
}  # fmt: skip
_CODE: dict[str, Value] = {
    "parameterization": "generator", "decorrelate": False, "optimizer": "ascent", "policy": "constant",
    "jitter": 0, "scale": 0.0, "rotate": 0.0, "pad": 0,
}  # fmt: skip
PRESETS: dict[str, dict[str, Value]] = {
    "Crisp": {},
    "Classic": {
        **_PAPER, "optimizer": "adam", "policy": "cosine", "rate": 0.04, "steps": 256,
        "jitter": 4, "decay": 0.004, "blur": 0.5, "blur_every": 4,
    },
    "Raw": {**_PAPER, "optimizer": "adam", "policy": "constant", "rate": 0.01, "steps": 256},
    "Paper 1": {
        **_PAPER, "policy": "progress", "rate": 100 * PIXEL, "desired": 2.0, "steps": 500,
        "blur": 0.5, "blur_every": 4, "small_norm": 50.0,
    },
    "Paper 2": {**_PAPER, "policy": "constant", "rate": 100 * PIXEL, "steps": 750, "decay": 0.3, "small_norm": 20.0},
    "Paper 3": {
        **_PAPER, "policy": "constant", "rate": 100 * PIXEL, "steps": 1000, "decay": 1e-4, "blur": 1.0, "blur_every": 4,
    },
    "Paper 4": {
        **_PAPER, "policy": "progress", "rate": 1e8 * PIXEL, "desired": 2.0, "steps": 1000,
        "blur": 0.5, "blur_every": 4, "small_contribution": 90.0,
    },
    "Vivid": {"rate": 0.09, "fourier_decay": 1.6, "decay": 0.007, "steps": 256},
    "MACO": {
        "parameterization": "maco", "rate": 0.25, "steps": 128, "jitter": 8, "scale": 0.0, "rotate": 0.0, "pad": 0,
        "decay": 0.0, "crops": 1, "crop_first": 100.0, "crop_last": 60.0, "noise": 0.03,
    },
    "CPPN": {"parameterization": "cppn", "rate": 0.005, "steps": 128, "start": 1.0, "decay": 0.005},
    **{name: {**_CODE, **walks.run_values(name)} for name in walks.VARIANTS},
}  # fmt: skip
"""Values by which each preset differs from the defaults: Yosinski et al. 2015, table 1, for the four papers'; Nguyen
et al. 2016 and 2017 for those of generators."""

PRESET_HELP: dict[str, str] = {
    "Crisp": "Fourier image, decorrelated colour and random moves: clear pictures on most networks.",
    "Classic": "Pixels with a little decay and blur: softer, and closer to the early methods.",
    "Raw": "Bare pixels, no regularizer: noise that excites the filter all the same.",
    "Paper 1": "Blur and small-norm clip at the paper's rate: raise it where pictures stay grey.",
    "Paper 2": "Strong decay and small-norm clip at the paper's rate: raise it where pictures stay grey.",
    "Paper 3": "Blur and a trace of decay, as on 227 px: lower the blur on small pictures, or raise the rate.",
    "Paper 4": "Blur and small-contribution clip of 90 %: lower the clip where pictures stay grey.",
    "Vivid": "High scores in few steps: as Crisp, but with hard contrast and strong colours.",
    "MACO": "Only phases are free, the spectrum is that of photographs: natural textures, seen through random crops.",
    "CPPN": "A small network paints the picture: smooth shapes without pixels.",
    "DGN-AM": "The code of a generator climbs the logit: no prior, no noise.",
    "PPGN-x": "Pixels walk, drawn to pictures by a denoiser of the generator.",
    "PPGN-h": "Codes of a generator walk, drawn to likely ones by a denoiser of codes.",
    "joint PPGN-h": "Codes of a generator walk, drawn to likely ones by generator and encoder, with noise.",
    "noiseless joint PPGN-h": "Codes of a generator walk, drawn to likely ones by generator and encoder.",
}
"""One sentence for each preset."""

CODE = "noiseless joint PPGN-h"
"""The preset of a generator where none is named."""


def build(
    model: str,
    layer: str,
    channels: str | Iterable[int],
    preset: str = "Crisp",
    arch: str | None = None,
    objective: str = "channel",
    **values: object,
) -> RunSpec:
    """A spec from a preset and the values that differ from it.

    Raises:
        SpecError: an unknown preset or parameter, a value out of range, a malformed channel list.
    """
    if preset not in PRESETS:
        raise SpecError(f"There is no preset {preset!r}.", f"Use one of {', '.join(PRESETS)}.")
    for name in values:
        if name not in PARAMS and name not in NAMED:
            raise unknown_parameter(name)
    numbers = parse_channels(channels) if isinstance(channels, str) else tuple(channels)
    return RunSpec(model, layer, numbers, objective, arch, preset, **{**PRESETS[preset], **values})  # type: ignore[arg-type]


def unknown_parameter(name: str) -> SpecError:
    """The error for a parameter that does not exist, with the nearest name."""
    import difflib

    near = difflib.get_close_matches(name, PARAMS, 1, 0.5)
    return SpecError(
        f"There is no parameter {name[:40]!r}.",
        f"Did you mean {near[0]}?" if near else f"Use one of {', '.join(PARAMS)}.",
    )


def parse_channels(text: str) -> tuple[int, ...]:
    """Filters from a list such as ``"0-15, 40"``, in its order and without repeats.

    Raises:
        SpecError: an empty or malformed list, or more than 64 filters.
    """
    hint = 'Write numbers and ranges, such as "0-15, 40".'
    found: list[int] = []
    parts = [part.strip() for part in text.split(",")]
    if not any(parts):
        raise SpecError("The list of filters is empty.", hint)
    for part in parts:
        match = re.fullmatch(r"(\d{1,7})(?:\s*-\s*(\d{1,7}))?", part, re.ASCII)
        if match is None:
            raise SpecError(f"The list of filters has {part[:40]!r} in it.", hint)
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise SpecError(f"The range {part!r} runs backwards.", hint)
        if last - first >= 10 * MAX_FILTERS:
            raise SpecError(
                f"The range {part!r} has more than {MAX_FILTERS} filters.", f"Choose at most {MAX_FILTERS}."
            )
        found.extend(range(first, last + 1))
    return check_channels(dict.fromkeys(found))


def check_channels(channels: Iterable[int]) -> tuple[int, ...]:
    """``channels`` as a tuple of 1 to 64 different whole numbers from 0, or :class:`SpecError`."""
    try:
        result = tuple(channels)
    except TypeError:
        raise SpecError("The filters are not a list.", "Give a list of numbers.") from None
    if not result:
        raise SpecError("The list of filters is empty.", "Choose at least one filter.")
    if len(result) > MAX_FILTERS:
        raise SpecError(f"{len(result)} filters are too many for one run.", f"Choose at most {MAX_FILTERS}.")
    if any(isinstance(c, bool) or not isinstance(c, int) or c < 0 for c in result) or len(set(result)) < len(result):
        raise SpecError("The filters are not different whole numbers from 0.", 'Write for example "0-15, 40".')
    return result


def format_channels(channels: Iterable[int]) -> str:
    """The shortest list that :func:`parse_channels` reads back: ``"0-15, 40"``."""
    parts: list[list[int]] = []
    for number in channels:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def to_dict(spec: RunSpec) -> dict[str, Any]:
    """The spec as plain JSON values; :func:`from_dict` reads it back.  Address, recipe and run file use this pair."""
    data: dict[str, Any] = {"schema": SCHEMA, **dataclasses.asdict(spec)}
    data["channels"] = list(spec.channels)
    return data


def from_dict(data: Mapping[str, Any]) -> RunSpec:
    """The spec in a dict of :func:`to_dict`; missing parameters take their defaults.

    Raises:
        SpecError: missing or unknown keys, values out of range, or a newer schema.
    """
    if not isinstance(data, Mapping):
        raise SpecError("The recipe is not a table of names and values.", "Use a recipe that vizcore wrote.")
    values = dict(data)
    schema = values.pop("schema", SCHEMA)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise SpecError("The recipe is from a newer vizcore.", "Update vizcore to open it.")
    names = {f.name for f in dataclasses.fields(RunSpec)}
    for name in values:
        if name not in names:
            raise unknown_parameter(str(name))
    for name in ("model", "layer", "channels"):
        if name not in values:
            raise SpecError(f"The recipe has no {name}.", "Use a recipe that vizcore wrote.")
    return RunSpec(**values)


def canonical(spec: RunSpec) -> str:
    """The spec as text that is equal for equal specs (sorted keys, no spaces)."""
    return json.dumps(to_dict(spec), sort_keys=True, separators=(",", ":"))


class Knobs:
    """The hot values of a run and the log of their changes.

    ``log`` is a list of (step, name, value): from that step's update on, the knob has that value.
    """

    def __init__(self, spec: RunSpec, log: Iterable[tuple[int, str, Value]] = ()) -> None:
        self._start = spec.hot()
        self.log: list[tuple[int, str, Value]] = []
        for step, name, value in log:
            self.set(step, name, value)

    def set(self, step: int, name: str, value: object) -> Value:
        """Turn a knob from ``step`` on; returns the value as stored.

        Raises:
            SpecError: a cold knob, a value out of range, a step in the past.
        """
        if name not in PARAMS:
            raise unknown_parameter(name)
        if name not in HOT:
            raise SpecError(f"{PARAMS[name].label} cannot change in mid-run.", "Start a new run with it.")
        if self.log and step < self.log[-1][0]:
            raise SpecError("A knob cannot be turned in the past.", "Fork from that step.")
        stored = PARAMS[name].coerce(value)
        self.log.append((step, name, stored))
        return stored

    def at(self, step: int) -> dict[str, Value]:
        """All hot values in force for the update of ``step``."""
        values = dict(self._start)
        values.update({name: value for at, name, value in self.log if at <= step})
        return values
