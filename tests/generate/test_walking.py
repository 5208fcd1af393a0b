"""A walk as a run: it is the sampler's own, it can be left and taken up anywhere, and it refuses what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import Run
from tests.generate import linear
from vizcore import assets, replay
from vizcore.ascent import Frame, ascend, score
from vizcore.engine.worker import at_hand
from vizcore.errors import GeneratorError, LayerError, SpecError
from vizcore.generate import names, shelf
from vizcore.generate import spec as walks
from vizcore.generate.condition import Classes, Eyes, Units
from vizcore.generate.generator import pixels_of
from vizcore.generate.names import open_generator
from vizcore.generate.sampler import Sampler
from vizcore.generate.walking import Walking
from vizcore.runs import Library
from vizcore.spec import PARAMS, PRESETS, Knobs, RunSpec, build
from vizcore.zoo.load import Network, load


@pytest.fixture(scope="module")
def digits() -> Network:
    return load("digits")


def spec(channels: Any = (3, 8), preset: str = "joint PPGN-h", layer: str = "", **values: Any) -> RunSpec:
    objective = values.pop("objective", "channel" if layer else "class")
    return build("digits", layer, channels, preset, objective=objective, **{"steps": 6, **values})


def frames(wanted: RunSpec, network: Network, **options: Any) -> list[Frame]:
    return list(ascend(wanted, network, exact=True, **options))


def pictures(found: list[Frame]) -> np.ndarray:
    return np.stack([frame.images for frame in found if frame.images is not None])


@pytest.mark.parametrize("preset", list(walks.VARIANTS))
@pytest.mark.parametrize("layer", ["", "relu2"])
def test_a_run_is_the_walk_of_the_sampler(digits: Network, preset: str, layer: str) -> None:
    found = frames(spec(preset=preset, layer=layer, seed=5, reset=4), digits)
    generator = open_generator("digits-generator")
    generator = pixels_of(generator) if preset == "PPGN-x" else generator
    eyes = Eyes(digits, generator)
    condition = Units(eyes, layer, [3, 8]) if layer else Classes(eyes, [3, 8])
    walk = walks.walk(preset, {"steps": 6, "seed": 5, "reset": 4})
    for frame, sample in zip(found, Sampler(walk, generator, [3, 8], condition), strict=True):
        wanted = np.rint(255 * sample.pictures.numpy()).transpose(0, 2, 3, 1)
        assert frame.images is not None
        assert np.abs(frame.images.astype(int) - wanted).max() <= 1  # a folded network rounds otherwise
        value = sample.activation if layer else sample.probability.log()
        np.testing.assert_allclose(frame.scores, value, rtol=2e-3, atol=2e-3)
        assert set(frame.status) <= {"ok", "zero gradient"}


def test_it_goes_on_from_every_step_bit_by_bit(digits: Network) -> None:
    wanted = spec(steps=7, eps3=0.5, reset=3, seed=2)
    whole = frames(wanted, digits)
    for step in range(7):
        ascent = ascend(wanted, digits, exact=True)
        while ascent.step < step:
            next(ascent)
        state = ascent.checkpoint()
        for frame, other in zip(ascend(wanted, digits, exact=True, state=state), whole[step:], strict=True):
            np.testing.assert_array_equal(frame.images, other.images)  # type: ignore[arg-type]
            np.testing.assert_array_equal(frame.scores, other.scores)


@pytest.mark.parametrize(("name", "value"), [
    ("eps1", 10.0), ("eps2", 0.0), ("eps3", 0.5), ("rate", 1.0), ("rate_end", 2.0), ("box", "off"), ("reset", 2),
    ("gradient", "logit"), ("decay", 0.2), ("jitter", 4), ("noise", 0.3), ("tv", 5.0),
])  # fmt: skip
def test_every_hot_knob_acts_in_mid_run_and_not_before(digits: Network, name: str, value: Any) -> None:
    wanted = spec(steps=5, eps1=1.0)
    plain, turned = frames(wanted, digits), frames(wanted, digits, knobs=Knobs(wanted, [(2, name, value)]))
    before, after = pictures(plain), pictures(turned)
    np.testing.assert_array_equal(before[:3], after[:3])
    assert not np.array_equal(before[3:], after[3:])


def test_a_turn_of_the_prior_counts_after_a_reset_too(digits: Network) -> None:
    wanted = spec(steps=8, reset=2, eps2=1e-3)
    plain, turned = frames(wanted, digits), frames(wanted, digits, knobs=Knobs(wanted, [(4, "eps1", 50.0)]))
    assert not np.array_equal(pictures(plain)[5], pictures(turned)[5])


def test_more_steps_are_taken_after_the_last(digits: Network) -> None:
    knobs = Knobs(spec(steps=2))
    ascent = ascend(spec(steps=2), digits, knobs, exact=True)
    assert [frame.step for frame in ascent] == [0, 1, 2]
    knobs.set(2, "steps", 4)
    rest = list(ascent)
    assert [frame.step for frame in rest] == [3, 4]
    np.testing.assert_array_equal(
        rest[0].images,
        frames(spec(steps=4, rate_end=0.05), digits)[3].images,  # type: ignore[arg-type]
    )


def test_chains_of_a_class_have_its_target_and_starts_of_their_own(digits: Network) -> None:
    wanted = spec(channels=range(9, 15), chains=3)  # three of class 3 and three of class 4
    assert wanted.targets == (3, 3, 3, 4, 4, 4)
    found = frames(wanted.replace(steps=60), digits)
    assert np.exp(found[-1].scores).min() > 0.9
    assert len({image.tobytes() for image in pictures(found[:1])[0]}) == 6
    alone = frames(wanted.replace(channels=(13,)), digits)
    row = wanted.channels.index(13)
    assert np.abs(pictures(alone)[:, 0].astype(int) - pictures(found[:7])[:, row]).max() <= 1
    images = torch.from_numpy(pictures(found[-1:])[0]).permute(0, 3, 1, 2).float() / 255
    logits = digits.module(digits.normalize(images))
    np.testing.assert_allclose(score(wanted, digits, images), logits[range(6), list(wanted.targets)], rtol=1e-4)


def test_ends_of_legs_are_known_from_the_knobs_alone(digits: Network) -> None:
    walk = walks.walk("ppgn", {"steps": 20, "reset": 4})
    generator = open_generator("digits-generator")
    chains = Sampler(walk, generator, [0], Classes(Eyes(digits, generator), [0]))
    ends = []
    for sample in chains:
        ends += [sample.step] if sample.ends else []
        if sample.step == 8:
            chains.turn("reset", 6)
    assert walks.leg_ends({0: 4, 9: 6}, 0, 19) == ends[:-1]
    assert walks.leg_ends({0: 4, 9: 6}, 5, 19) == ends[1:-1]
    assert walks.leg_ends({0: 0}, 0, 100) == []


def test_a_kept_run_can_be_verified_and_forked(digits: Network, tmp_path: Path, run: Run) -> None:
    data = run("render", "digits", "relu2", "--channels", "0-3", "--image", "generator", "--steps", "40", "--eps3",
               "1e-4", "--exact", "--out", str(tmp_path / "out"))  # fmt: skip
    assert all(one["end"] > one["start"] for one in data["filters"] if one["status"] == "ok")
    assert Image.open(tmp_path / "out" / "relu2-0000.png").size == (28, 28)
    with Library().open(data["run"]) as reader:
        assert reader.spec.preset == "noiseless joint PPGN-h"
        assert reader.steps().tolist() == list(range(41))
        verdict = drained(replay.verify(reader, digits))
        assert verdict.identical
        branch = drained(replay.branch(reader, digits, 20, [2], {"eps2": 0.0}))
        assert branch.spec.channels == (2,)
        first = next(ascend(branch.spec, digits, Knobs(branch.spec, branch.log), exact=True, state=branch.state))
        stored = reader.frame(20, 2)
        assert stored is not None
        assert abs(float(first.scores[0]) - stored.score) < 1e-4


def drained(work: Any) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_render_takes_chains_and_variants(tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    data = run("render", "digits", "", "--objective", "class", "--channels", "1,7", "--chains", "2", "--preset",
               "DGN-AM", "--no-keep", "--steps", "3", "--out", str(out))  # fmt: skip
    assert [one["channel"] for one in data["filters"]] == [2, 3, 14, 15]
    assert len(list(out.glob("*.png"))) == 5


class Single(linear.Linear):
    """The same in single precision, as networks are."""

    def __init__(self, encoder: bool = True) -> None:
        super().__init__(encoder)
        self.stats = self.stats.to(torch.zeros(1))

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        return super().decode(code.double()).float()

    def encode(self, pictures: torch.Tensor) -> torch.Tensor | None:
        code = super().encode(pictures.double())
        return None if code is None else code.float()


class Torn(Single):
    """Its encoder reads no number from the first chain."""

    def encode(self, pictures: torch.Tensor) -> torch.Tensor | None:
        code = super().encode(pictures)
        if code is not None:
            code[0] = torch.nan
        return code


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Network]:
    """Puts a generator of one matrix in place of all others, and gives the network of one matrix."""

    def put(generator: Any) -> Network:
        monkeypatch.setattr(names, "of_run", lambda *_: generator)
        network = linear.network()
        network.module.float()
        return network

    return put


def line_spec(**values: Any) -> RunSpec:
    return build("linear", "", (3, 1), "joint PPGN-h", objective="class", **{"steps": 3, "eps1": 0.5, **values})


def test_a_code_that_is_no_number_goes_back_and_is_said_to(lines: Callable[[Any], Network]) -> None:
    found = list(ascend(line_spec(), lines(Torn())))
    assert [frame.status for frame in found] == [("ok", "ok"), *[("rolled back", "ok")] * 3]
    images = pictures(found)
    np.testing.assert_array_equal(images[-1, 0], images[0, 0])
    assert not np.array_equal(images[-1, 1], images[0, 1])
    assert all(np.isfinite(frame.scores).all() for frame in found)


def test_a_missing_encoder_turns_the_prior_off_and_says_so(lines: Callable[[Any], Network]) -> None:
    network = lines(Single(encoder=False))
    ascent = ascend(line_spec(), network)
    bare = pictures(list(ascend(line_spec(eps1=0.0), network)))
    np.testing.assert_array_equal(pictures(list(ascent)), bare)
    assert ascent.note == "linear has no encoder: the prior term is off."


def test_what_does_not_fit_is_refused_in_one_sentence(
    digits: Network, tmp_path: Path, refused: Callable[..., dict[str, str]]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    told = refused("render", "imagenette-robust", "block2", "--image", "generator", *out, kind="GeneratorError")
    assert "no generator for imagenette-robust" in told["message"]
    told = refused("render", "letters", "", "--objective", "class", "--image", "generator", "--generator",
                   "digits-generator", *out, kind="GeneratorError")  # fmt: skip
    assert "28 × 28 px" in told["message"]
    told = refused("render", "digits", "relu2", "--image", "generator", "--generator", "nothing", *out,
                   kind="GeneratorError")  # fmt: skip
    assert "no generator 'nothing'" in told["message"]
    mask = tmp_path / "mask.png"
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(mask)
    told = refused("render", "digits", "relu2", "--image", "generator", "--mask", str(mask), *out, kind="SpecError")
    assert "needs a picture" in told["message"]
    told = refused("render", "digits", "relu2", "--image", "generator", "--source", str(mask), "--mask", str(mask),
                   *out, kind="SpecError")  # fmt: skip
    assert "mask is 9 × 9 px" in told["message"]
    with pytest.raises(LayerError, match="no class 12"):
        ascend(spec((12,)), digits)
    with pytest.raises(SpecError, match="another run"):
        ascend(spec((1, 2, 3)), digits, state=ascend(spec(), digits).checkpoint())
    broken = ascend(spec(), digits).checkpoint()
    broken["parameter"][1, 3] = np.nan
    with pytest.raises(SpecError, match="not finite"):
        ascend(spec(), digits, state=broken)


def test_a_masked_picture_keeps_what_is_known(digits: Network) -> None:
    generator = open_generator("digits-generator")
    picture = generator.decode(generator.stats.mean[None])[0, 0]
    mask = np.zeros((28, 28), np.uint8)
    mask[:14] = 255

    def kept(image: np.ndarray) -> str:
        return assets.keep_picture(np.repeat(image[:, :, None], 3, 2))

    bytes_ = np.rint(255 * picture.numpy()).astype(np.uint8)
    wanted = spec(channels=(1,), steps=40, source=kept(bytes_), mask=kept(mask), eps2=1e-6, eps4=1.0)
    far = np.abs(pictures(frames(wanted, digits))[:, 0, :14, :, 0] - bytes_[:14].astype(float)).mean((1, 2))
    assert far[-1] < 0.5 * far[0]


def test_chains_from_a_picture_begin_at_different_codes(digits: Network) -> None:
    generator = open_generator("digits-generator")
    picture = np.rint(255 * generator.decode(generator.stats.mean[None])[0].numpy()).astype(np.uint8)
    mask = np.zeros((28, 28, 3), np.uint8)
    mask[:14] = 255
    values = {"source": assets.keep_picture(np.repeat(picture.transpose(1, 2, 0), 3, 2)), "chains": 3, "steps": 2}
    values |= {"mask": assets.keep_picture(mask), "eps4": 1.0, "eps3": 0.0, "seed": 4}
    wanted = spec((3, 4, 5, 24), **values)  # three chains of class 1, the first of class 8

    def starts(wanted: RunSpec) -> torch.Tensor:
        walking = ascend(wanted, digits)
        assert isinstance(walking, Walking)
        return walking.sampler.codes

    masked = torch.from_numpy(picture / np.float32(255))
    masked[:, 14:] = 0.5
    code = generator.project(generator.encode(masked[None]))
    found = starts(wanted)
    torch.testing.assert_close(found[[0, 3]], code.expand(2, -1))  # the published code begins there
    away = wanted.spread * (generator.sample(2, 4, (4, 5)) - generator.stats.mean)
    torch.testing.assert_close(found[1:3], (code + away).clamp(generator.stats.lower, generator.stats.upper))
    last = pictures(frames(wanted, digits))[-1].astype(float)
    assert all(np.abs(last[1] - last[other])[14:].mean() > 2 for other in (0, 2))
    torch.testing.assert_close(starts(spec((5,), **values))[0], found[2])  # alone as in company
    assert (starts(spec((3, 4, 5), **values, spread=0)) == found[0]).all()


@pytest.mark.parametrize("name", [name for name, meta in PARAMS.items() if not meta.codes])
def test_what_the_page_hides_does_nothing_to_a_code(digits: Network, name: str) -> None:
    meta = PARAMS[name]
    other = next(value for value in (*meta.choices, meta.minimum, meta.maximum, not meta.default)
                 if meta.clamp(value) != meta.coerce(PRESETS["joint PPGN-h"].get(name, meta.default)))  # fmt: skip
    changed = frames(spec((3,), steps=2, **{name: meta.clamp(other)}), digits)
    np.testing.assert_array_equal(pictures(changed), pictures(frames(spec((3,), steps=2), digits)))


def test_generators_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Network) -> None:
    own = tmp_path / "more" / "mine"
    own.mkdir(parents=True)
    for file in shelf.bundled()["digits-generator"].glob("*.*"):
        (own / file.name).write_bytes(file.read_bytes())
    (tmp_path / "more" / "fc6.pt").write_bytes(b"")
    (tmp_path / "more" / "broken").mkdir()
    (tmp_path / "more" / "broken" / shelf.CARD).write_text("[]")
    (tmp_path / "more" / "broken" / shelf.WEIGHTS).write_bytes(b"")
    monkeypatch.setenv(shelf.VARIABLE, str(tmp_path / "more"))
    found = {entry.name: entry for entry in shelf.entries()}
    assert {"digits-generator", "mine", "deepsim-fc6"} <= set(found)
    assert "broken" not in found
    assert (found["mine"].source, found["mine"].size, found["mine"].channels, found["mine"].code) == (
        "own", 28, 1, (64,),
    )  # fmt: skip
    assert not found["deepsim-fc6"].encoder
    assert shelf.fitting(digits.card) == "digits-generator"
    assert isinstance(ascend(spec(generator="mine"), digits), Walking)
    assert [shelf.is_plain(name) for name in ("mine", "../mine", "deepsim:fc6=x", ".hidden")] == [True] + [False] * 3
    with pytest.raises(GeneratorError):
        open_generator("broken")


def test_a_page_can_name_no_path() -> None:
    assert at_hand(spec(generator="mine")).generator == "mine"
    for name in ("../mine", "/tmp/mine", "deepsim:fc6=/tmp/fc6.pt", "taesd=/tmp"):
        with pytest.raises(GeneratorError, match="folder's name"):
            at_hand(spec(generator=name))


def test_the_presets_are_the_variants() -> None:
    for name, values in walks.VARIANTS.items():
        preset = build("digits", "", (0,), name)
        walk = walks.of_run(vars(preset))
        assert walk == walks.walk(name)
        assert (preset.space == "pixels") == (name == "PPGN-x")
        assert PRESETS[name].keys() >= {walks.FIELDS[key] for key in values if key in walks.FIELDS}
