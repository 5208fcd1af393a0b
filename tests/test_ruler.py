"""The ruler's columns against closed forms, and the command on a small network."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from tests.conftest import Run
from vizcore.ascent import ascend
from vizcore.errors import SpecError
from vizcore.generate.names import open_generator
from vizcore.generate.spec import walk
from vizcore.ruler import PRESETS, REAL, Order, Ruler, diversity, radial_power
from vizcore.rulerplot import BAR, plot
from vizcore.spec import build
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network, load

SIZE = 16
SVG = "{http://www.w3.org/2000/svg}"
RNG = np.random.default_rng(0)


def network() -> Network:
    """Two channels: the mean of a picture, and that of its negative."""
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        module[0].bias.copy_(torch.tensor([0.0, 1.0]))
    return Network(Card("flat", "Flat", "none", {}, 1, SIZE, (0.0,), (1.0,), ("light", "dark")), module)


def real() -> torch.Tensor:
    light = torch.linspace(50, 150, 20).byte()
    return light.view(-1, 1, 1, 1).expand(20, 1, SIZE, SIZE).contiguous()


def test_a_brighter_picture_than_any_real_one_is_above_one() -> None:
    ruler = Ruler(network(), Order("0", (0,), ("pixel",), seeds=2, steps=100), real())
    found = {method: (pictures, lengths) for method, pictures, lengths in ruler.measure()}
    (base,), (made,) = found[REAL][1], found["pixel"][1]
    assert base.activation == pytest.approx(1)
    assert base.nearest == pytest.approx(np.sqrt(SIZE * SIZE) * (150 - 144) / 255, rel=0.02)  # to the second brightest
    pictures = found["pixel"][0]
    assert pictures.shape == (2, SIZE, SIZE, 1)
    assert made.activation == pytest.approx(pictures.mean() / 150, rel=1e-3)
    assert made.activation > 1
    assert made.transfer is None
    x = pictures.astype(float) / 255
    nearest = np.mean([np.linalg.norm(one - 150 / 255) for one in x])
    assert made.nearest == pytest.approx(nearest, rel=0.02)
    assert made.diversity == pytest.approx(np.sqrt(np.mean((x[0] - x[1]) ** 2)))


def test_each_method_makes_its_own_number_of_steps_where_none_is_named() -> None:
    counted = {}
    for method in PRESETS:
        *_, (done, total) = Ruler(network(), Order("0", (0,), (method,), seeds=1), None).turns(method)
        counted[method] = done - 1  # and one unit to measure
        assert done == total
    assert counted == {"pixel": 256, "fourier": 256, "maco": 128, "paper3": 1000}
    ppgn = Ruler(load("digits"), Order("", (3,), ("ppgn",)), None, open_generator("digits-generator"))
    assert ppgn._steps("ppgn") == walk("ppgn").steps


def test_power_is_that_of_a_wave_and_of_nothing_else() -> None:
    wave = 0.5 + 0.25 * np.cos(2 * np.pi * 3 * np.arange(SIZE) / SIZE)
    picture = np.broadcast_to(wave, (SIZE, SIZE))[None, :, :, None]
    power = radial_power((picture * 255).round().astype(np.uint8))[0]
    assert power.shape == (SIZE // 2,)
    assert int(power.argmax()) == 2  # ring 3
    exact = (0.25 * SIZE * SIZE / 2) ** 2 * 2  # both signs of the frequency
    count = int((np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIZE) * SIZE] * 2)).round() == 3).sum())
    assert power[2] == pytest.approx(np.log(exact / count), abs=0.02)


def test_diversity_is_of_pairs() -> None:
    flat = np.stack([np.full((2, 2, 1), value, np.uint8) for value in (0, 51, 255)])
    assert diversity(flat) == pytest.approx((0.2 + 1.0 + 0.8) / 3)
    assert diversity(flat[:1]) is None


def test_the_plot_has_a_bar_for_each_number_and_none_where_there_is_none() -> None:
    rows = [
        {"method": "real", "activation": 1.0, "activation_sd": 0.0, "diversity": None, "seconds": 0.0},
        {"method": "a<b", "activation": 2.0, "activation_sd": 0.5, "diversity": 0.25, "seconds": float("nan")},
    ]
    root = ElementTree.fromstring(plot(rows, "digits & more", ("activation", "diversity", "transfer")))
    bars = [bar for bar in root.iter(f"{SVG}rect") if (bar.get("class") or "").startswith("bar")]
    # The longest whisker, 2.5, is as long as the panel allows; a single number without deviation fills it.
    assert [float(bar.get("width", 0)) for bar in bars] == pytest.approx([BAR / 2.5, BAR * 2 / 2.5, BAR])
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert words.count("a<b") == 1
    assert words.count("–") == 1
    assert "transfer" not in words
    (mark,) = {float(line.get("x1", 0)) for line in root.iter(f"{SVG}line") if line.get("class") == "real"}
    assert mark == pytest.approx(float(bars[0].get("x", 0)) + BAR / 2.5)


@pytest.mark.parametrize(("methods", "words"), [(("best",), "no method"), (("ppgn",), "need a generator")])
def test_what_cannot_be_measured_is_refused(methods: tuple[str, ...], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Ruler(network(), Order("0", (0,), methods), real())
    with pytest.raises(SpecError, match="real pictures are"):
        Ruler(network(), Order("0", (0,), ("pixel",)), real()[:, :, :8])
    with pytest.raises(SpecError, match="only judge classes"):
        Ruler(network(), Order("0", (0,), ("pixel",)), real(), other=network())


@pytest.fixture
def digits_folder(tmp_path: Path) -> Path:
    """Class folders of 28 px pictures."""
    from PIL import Image

    for label in "ab":
        folder = tmp_path / "digits" / "test" / label
        folder.mkdir(parents=True)
        for number in range(12):
            Image.fromarray(RNG.integers(0, 255, (28, 28), np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "digits"


def test_the_command_writes_table_sheet_and_json(tmp_path: Path, run: Run, digits_folder: Path) -> None:
    data = run("score", "digits", "--dataset", digits_folder, "--classes", "3,4", "--methods", "fourier,ppgn",
               "--generator", "digits-generator", "--transfer", "digits", "--seeds", "2", "--steps", "10", "--out",
               tmp_path / "out")  # fmt: skip
    assert [row["method"] for row in data["table"]] == [REAL, "fourier", "ppgn"]
    assert all(row["activation"] is not None and row["transferred"] is not None for row in data["table"])
    assert (tmp_path / "out" / "sheet.png").is_file()
    assert (tmp_path / "out" / "score.json").is_file()
    drawn = ElementTree.parse(data["plot"]).getroot()
    assert {"real", "fourier", "ppgn"} <= {text.text for text in drawn.iter(f"{SVG}text")}
    error = run("score", "digits", "--dataset", digits_folder, "--methods", "ppgn", "--out", tmp_path / "o", code=2)
    assert "need a generator" in error["error"]["message"]


def test_paper_3_is_blurred_by_the_same_share_of_a_small_picture() -> None:
    """By 1 px every fourth step, as on the paper's 227 px, nothing is left on 28 px that could excite a class."""
    network = load("digits")
    *_, (_, pictures, (made,)) = Ruler(network, Order("", (0,), ("paper3",), 1, 160), None).measure()
    *_, last = ascend(build("digits", "", (0,), "Paper 3", objective="class", size=28, steps=160), network)
    assert last.images is not None
    assert pictures.std() > 4 * last.images.std()
    assert made.activation > 4 * abs(float(last.scores[0]))
