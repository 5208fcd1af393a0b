"""A dream's step is the formula, its octaves carry what was dreamt, and what cannot be dreamt is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import signal

from tests.tiny import MEAN, STD, network
from vizcore import assets
from vizcore.ascent import Frame, ascend, score
from vizcore.cli import main
from vizcore.dream import edges, nearer, shapes
from vizcore.dreamspec import dream, journey, octave_of
from vizcore.errors import LayerError, PictureError, SpecError
from vizcore.spec import Knobs, RunSpec, from_dict, to_dict

Picture = np.ndarray


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZCORE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VIZCORE_ASSETS", raising=False)


def photograph(width: int = 60, height: int = 40, seed: int = 0) -> Picture:
    """Smooth colours, none near black or white."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    waves = np.random.default_rng(seed).uniform(2, 9, (3, 3))
    planes = [np.sin(a * x + b * y + c) for a, b, c in waves]
    return np.uint8(128 + 60 * np.stack(planes, -1))


def spec(
    source: Picture | None = None, layer: str = "conv1", channels: tuple[int, ...] = (0,), **values: Any
) -> RunSpec:
    named = {} if source is None else {"source": assets.keep_picture(source)}
    return dream("tiny", layer, channels, **{"octaves": 1, "side": 60, "precision": "fp32", **named, **values})


def run(wanted: RunSpec, **options: Any) -> list[Frame]:
    return list(ascend(wanted, network(), exact=True, **options))


def one_step(picture: np.ndarray, rate: float) -> np.ndarray:
    """Mean square of conv1 and its gradient, by scipy's correlation: ``[H, W, 3]`` in [0, 1], before and after."""
    module = network().module
    weight = module.conv1.weight.detach().double().numpy()
    bias = module.conv1.bias.detach().double().numpy()
    x = ((picture - MEAN) / STD).transpose(2, 0, 1)
    z = np.stack([sum(signal.correlate(x[c], w[c], "same") for c in range(3)) for w in weight]) + bias[:, None, None]
    dz = 2 * z / z.size
    dx = np.stack([sum(signal.convolve(dz[k], weight[k, c], "same") for k in range(len(z))) for c in range(3)])
    g = dx.transpose(1, 2, 0) / STD
    return np.clip(picture + rate * g / np.abs(g).mean(), 0, 1)


def test_a_step_is_the_formula() -> None:
    picture = photograph()
    frames = run(spec(picture, steps=3, jitter=0, rate=0.02))
    expected = picture / 255
    for frame in frames:
        assert frame.images is not None
        np.testing.assert_allclose(frame.images[0], expected * 255, atol=0.51)
        expected = one_step(expected, 0.02)
    assert frames[0].images is not None
    assert np.array_equal(frames[0].images[0], picture)
    assert frames[-1].scores > frames[0].scores


def test_a_roll_moves_the_gradient_back() -> None:
    """A step of a rolled picture differs from one of the picture only where the roll joins its edges."""
    plain, rolled = (run(spec(photograph(), steps=1, jitter=jitter, rate=0.02))[1].images for jitter in (0, 8))
    assert plain is not None
    assert rolled is not None
    difference = np.abs(plain[0].astype(int) - rolled[0].astype(int)).max(2)
    assert 0 < (difference > 1).mean() < 0.25


def test_tiles_give_the_gradient_of_the_whole_but_at_their_seams() -> None:
    whole, tiled = (run(spec(photograph(), steps=1, jitter=0, tile=tile))[0] for tile in (64, 32))
    assert tiled.scores == pytest.approx(whole.scores, rel=0.05)
    after = [run(spec(photograph(), steps=1, jitter=0, tile=tile, rate=0.02))[1].images for tile in (64, 32)]
    difference = np.abs(after[0][0].astype(int) - after[1][0].astype(int)).max(2)
    assert (difference <= 1).mean() > 0.75


def test_edges_are_few_and_even() -> None:
    assert edges(512, 512) == [0, 512]
    assert edges(513, 512) == [0, 256, 513]
    assert edges(2048, 512) == [0, 512, 1024, 1536, 2048]


def test_octaves_grow_to_the_form_of_the_source() -> None:
    wanted = spec(photograph(60, 40), steps=2, octaves=3, octave_scale=1.5, side=120)
    assert shapes(wanted, (40, 60)) == [(36, 53), (53, 80), (80, 120)]
    sizes = [frame.images.shape[1:3] for frame in run(wanted) if frame.images is not None]
    assert sizes == [(36, 53)] * 2 + [(53, 80)] * 2 + [(80, 120)] * 3
    assert [octave_of(wanted, step) for step in range(8)] == [0, 0, 1, 1, 2, 2, 2, 2]


def test_a_dream_of_nothing_is_the_source_at_every_size() -> None:
    """The detail is what was dreamt, not what was lost by making the source small."""
    picture = photograph(120, 80)
    last = run(spec(picture, steps=2, octaves=3, side=120, rate=1e-6))[-1].images
    assert last is not None
    np.testing.assert_allclose(last[0], picture, atol=1)


def test_what_was_dreamt_is_carried_on() -> None:
    wanted = spec(photograph(120, 80), steps=2, octaves=2, side=120, rate=0.05, jitter=0)
    frames = run(wanted, knobs=Knobs(wanted, [(2, "rate", 1e-6)]))
    small, large = frames[1].images, frames[-1].images
    assert small is not None
    assert large is not None
    again = Image.fromarray(large[0]).resize(small.shape[2:0:-1], Image.Resampling.BILINEAR)
    source = Image.fromarray(photograph(120, 80)).resize(small.shape[2:0:-1], Image.Resampling.BILINEAR)
    dreamt = np.abs(np.asarray(again, float) - np.asarray(source, float)).mean()
    assert dreamt > 4  # of a step of 0.05, twice


def test_a_dream_goes_on_from_any_step_bit_for_bit() -> None:
    wanted = spec(photograph(), steps=2, octaves=2, side=64, zoom_frames=2, zoom_steps=2)
    whole = run(wanted)
    for stop in (1, 2, 4, 7):
        half = ascend(wanted, network(), exact=True)
        for _ in range(stop):
            next(half)
        rest = run(wanted, state=half.checkpoint())
        assert [frame.step for frame in rest] == list(range(stop, 9))
        assert np.array_equal(rest[-1].images, whole[-1].images)
        assert np.array_equal(rest[-1].scores, whole[-1].scores)


def test_a_journey_comes_nearer() -> None:
    wanted = spec(photograph(), steps=2, octaves=2, side=64, zoom_frames=3, zoom_steps=2, zoom=10, rate=1e-6)
    assert wanted.steps == 10
    assert journey(wanted) == [3, 5, 7, 10]
    frames = run(wanted)
    middle = torch.from_numpy(frames[3].images).permute(0, 3, 1, 2).float()
    for count, step in enumerate(journey(wanted)[1:], 1):
        seen = nearer(middle, 100 * (1.1**count - 1)).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(frames[step].images, seen, atol=3)


def test_nearer_is_the_middle() -> None:
    ramp = torch.linspace(-1, 1, 41).expand(1, 1, 41, 41)
    torch.testing.assert_close(nearer(ramp, 100)[0, 0, 20, 1:-1], ramp[0, 0, 20, 1:-1] / 2, atol=1e-5, rtol=0)


def test_a_dream_is_a_value() -> None:
    wanted = spec(photograph(), steps=2, octaves=2)
    assert from_dict(json.loads(json.dumps(to_dict(wanted)))) == wanted


def test_noise_is_a_start_too() -> None:
    frames = run(spec(None, layer="conv2", channels=(2,), objective="channel", octaves=2, side=64, steps=4))
    assert frames[-1].images.shape == (1, 64, 64, 3)
    assert frames[-1].scores > frames[0].scores


# Objectives that aim at a picture ------------------------------------------------------------------------------


def aimed(objective: str, pictures: list[Picture], aim: Picture) -> np.ndarray:
    wanted = spec(None, "conv2", objective=objective, picture=assets.keep_picture(aim), channels=(0,))
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    return np.array([float(score(wanted, network(), image[None])[0]) for image in images])


def maps(picture: Picture) -> np.ndarray:
    module = network().module
    x = (torch.from_numpy(picture / 255.0).float() - torch.tensor(MEAN)) / torch.tensor(STD)
    return module.conv2(module.relu1(module.conv1(x.permute(2, 0, 1)[None])))[0].detach().double().numpy()


def test_objectives_that_aim_are_their_formulas() -> None:
    here, there = photograph(40, 40), photograph(40, 40, 1)
    a, b = maps(here).ravel(), maps(there).ravel()
    invert = -((a - b) ** 2).sum() / (b**2).sum()
    cosine = a @ b / np.sqrt((a @ a) * (b @ b))
    np.testing.assert_allclose(aimed("invert", [here, there], there), [invert, 0], rtol=1e-4, atol=1e-6)
    for power in (0, 2, 4):
        expected = a @ b / (b @ b) * max(cosine, 0.1) ** power
        found = aimed(f"caricature({power})", [here, there], there)
        np.testing.assert_allclose(found, [expected, 1], rtol=1e-4)
    a, b = maps(here).reshape(6, -1), maps(there).reshape(6, -1)
    guide = (a.T @ b).max(1).mean() / (b**2).sum(0).mean()
    np.testing.assert_allclose(aimed("guide", [here], there), [guide], rtol=1e-4)


@pytest.mark.parametrize("objective", ["invert", "caricature", "guide", "caricature - 0.1*layer"])
def test_aimed_objectives_rise_in_renders_and_dreams(objective: str) -> None:
    from tests.tiny import tiny_spec

    aim = assets.keep_picture(photograph(48, 48, 1))
    still = tiny_spec(channels="0-1", objective=objective, picture=aim, steps=6, jitter=2, policy="constant", crops=2)
    for wanted in (still, spec(photograph(), "conv2", objective=objective, picture=aim, steps=6, jitter=4, tile=32)):
        frames = run(wanted)
        assert (frames[-1].scores > frames[0].scores).all()


def test_a_caricature_is_moved_with_its_picture() -> None:
    """Dreaming towards the source itself: rolled and tiled alike, so its score begins at 1."""
    source = photograph()
    wanted = spec(source, "conv2", objective="caricature", picture=assets.keep_picture(source), jitter=8, tile=32)
    assert run(wanted)[0].scores == pytest.approx(1, abs=1e-4)


# What cannot be dreamt -----------------------------------------------------------------------------------------


def test_refusals() -> None:
    picture = photograph()
    small = assets.keep_picture(photograph(4, 4))
    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (LayerError, "has no maps", {"layer": "fc"}),
        (LayerError, "needs a layer with maps", {"layer": "", "objective": "class"}),
        (SpecError, "first octave would be", {"octaves": 9}),
        (SpecError, "needs a picture", {"objective": "guide"}),
        (
            PictureError,
            "guide picture is too small: 4 × 4 px",
            {"objective": "guide", "layer": "conv2", "picture": small},
        ),
        (SpecError, "not on this machine", {"objective": "invert", "picture": "0" * 24}),
        (LayerError, "no channel 99", {"objective": "channel", "channels": (99,)}),
    ]
    for kind, text, values in cases:
        with pytest.raises(kind, match=text):
            ascend(spec(picture, **values), network())
    with pytest.raises(SpecError, match="one picture"):
        spec(picture, channels=(0, 1))
    with pytest.raises(SpecError, match="at least one octave"):
        spec(picture, octaves=0)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    Image.fromarray(photograph(90, 60)).save(tmp_path / "photo.png")
    Image.fromarray(photograph(9, 9)).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "photo.png").read_bytes()[:300])
    return {name: str(tmp_path / name) for name in ("photo.png", "small.png", "broken.png", "none.png", "out")}


@pytest.mark.parametrize(
    ("args", "kind", "text"),
    [
        (["broken.png"], "PictureError", "damaged"),
        (["none.png"], "PictureError", "There is no picture"),
        (["photo.png", "--guide", "small.png"], "PictureError", "guide picture is too small"),
        (["photo.png", "--layer", "fc"], "LayerError", "has no maps"),
        (["photo.png", "--layer", "nowhere"], "LayerError", "no layer"),
        (
            ["photo.png", "--size", "128", "--tile", "32", "--layer", "block3"],
            "SpecError",
            "Tiles of 32 px are smaller",
        ),
        (["photo.png", "--octaves", "9"], "SpecError", "first octave would be"),
        (["photo.png", "--octaves", "99"], "SpecError", "out of range"),
        (["photo.png", "--channel", "1", "--guide", "photo.png"], "SpecError", "different things"),
        (["photo.png", "--video", "avi"], "ExportError", "no films"),
    ],
)
def test_the_command_refuses(
    args: list[str], kind: str, text: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = [
        "dream",
        "--model",
        "imagenette-robust",
        "--layer",
        "block1",
        "--size",
        "64",
        "--out",
        "out",
        "--json",
        *args,
    ]
    assert main([files.get(word, word) for word in whole]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == kind, error
    assert text in error["message"]
    assert "\n" not in error["message"]
    assert not list(Path(files["out"]).glob("*.png"))


def test_the_command_dreams_and_travels(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    wish = "--model imagenette-robust --layer block1 --channel 3 --size 64 --octaves 2 --steps 2 --threads 1 --json"
    journey = "--zoom-frames 2 --video gif --out"
    args = ["dream", files["photo.png"], *wish.split(), *journey.split(), files["out"]]
    assert main(args) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["size"] == [64, 43]
    assert found["steps"] == 8
    picture, film = found["files"]
    with Image.open(picture) as image:
        assert image.size == (64, 43)
    with Image.open(film) as image:
        assert image.n_frames == 3
        assert image.size == (64, 43)
    assert main(["runs", "replay", found["run"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["identical"] is True
    assert main(["runs", "export", found["run"], "--out", f"{files['out']}/all.gif", "--json"]) == 0
    with Image.open(f"{files['out']}/all.gif") as image:  # octaves of all sizes in one film
        assert image.size == (64, 43)
