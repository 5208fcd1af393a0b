"""A generator is trained, cut off, taken up again, kept, read back, and refused where it does not fit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.train.samples import striped
from vizcore.cli.train_generator import DEFAULTS
from vizcore.errors import GeneratorError, LayerError, SpecError, TrainingError
from vizcore.generate import files
from vizcore.generate.generator import axes, measure
from vizcore.generate.nets import CodeDenoiser
from vizcore.generate.training import MOST, Trainer, earlier, fitted, quality, recipe
from vizcore.layers import Cut
from vizcore.train.data.parts import Dataset, Part
from vizcore.zoo.architectures import build
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network, load

OPTIONS = {"classes": 3, "channels": 3, "filters": [4, 8], "units": [12]}


def network(size: int = 16) -> Network:
    torch.manual_seed(0)
    card = Card("small", "Small", "cnn", OPTIONS, 3, size, (0.5,) * 3, (0.25,) * 3, ("a", "b", "c"))
    return Network(card, build("cnn", OPTIONS))


def dataset(size: int = 16) -> Dataset:
    pictures = [
        torch.from_numpy(striped(label, size, seed)).permute(2, 0, 1) for seed in range(20) for label in range(3)
    ]
    part = Part(torch.stack(pictures), torch.arange(60) % 3)
    return Dataset("stripes", ("a", "b", "c"), part, test=part)


def layer_of_code(net: Network) -> str:
    return next(name for name, part in net.module.named_modules() if isinstance(part, torch.nn.Linear))


def trainer(out: Path, **values: object) -> Trainer:
    net = network()
    chosen = recipe({"steps": 6, "batch_size": 8, "hidden": 16, "width": 16, "denoisers": 0, **values})
    return Trainer(net, layer_of_code(net), dataset(), out, chosen)


def weights(one: Trainer) -> torch.Tensor:
    return torch.cat([value.flatten() for value in one.decoder.state_dict().values()])


def test_it_learns_to_paint_what_it_encodes(tmp_path: Path) -> None:
    one = trainer(tmp_path, steps=150, lr=0.01, denoisers=20)
    first = quality(one.generator(), one.dataset.test)
    one.decoder.train().requires_grad_(True)
    losses = list(one.run(50))
    assert [step.step for step in losses] == [50, 100, 150]
    list(one.train_denoisers())
    last = one.finish()
    assert last["image_error"] < 0.5 * first["image_error"]
    assert last["code_error"] < first["code_error"]
    made = files.load(tmp_path)
    assert made.denoiser is not None
    assert made.image_denoiser is not None
    assert quality(made, one.dataset.test)["image_error"] == pytest.approx(last["image_error"], rel=0.02)
    card = json.loads((tmp_path / files.CARD).read_text())
    assert card["image_error"] == last["image_error"]
    assert "150 steps of 8 pictures" in card["recipe"]
    assert not (tmp_path / "resume.pt").exists()


@pytest.mark.parametrize("values", [{}, {"noise": 0.3}, {"half": True}])
def test_cut_off_it_goes_on_as_if_it_had_not_been(tmp_path: Path, values: dict[str, object]) -> None:
    whole = trainer(tmp_path / "a", **values)
    list(whole.run())
    half = trainer(tmp_path / "b", **values)
    steps = half.run(every=3)
    next(steps)
    half.keep()
    assert files.load(tmp_path / "b").code_shape == (12,)  # what is there is whole at any time
    again = trainer(tmp_path / "b", **values)
    assert again.step == 3
    list(again.run())
    assert torch.equal(weights(whole), weights(again))


def test_a_folder_belongs_to_one_training(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    list(one.run())
    one.keep()
    with pytest.raises(TrainingError, match="its lr differs"):
        trainer(tmp_path, lr=0.1)
    (tmp_path / "resume.pt").write_bytes(b"half")
    with pytest.raises(TrainingError, match="damaged"):
        trainer(tmp_path)
    (tmp_path / "resume.pt").unlink()
    with pytest.raises(TrainingError, match="finished"):
        trainer(tmp_path)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    net = network()
    code = layer_of_code(net)
    grey = dataclasses.replace(dataset(), train=Part(dataset().any.images[:, :1], dataset().any.labels), test=None)
    with pytest.raises(SpecError, match="takes colour pictures"):
        Trainer(net, code, grey, tmp_path, recipe({}))
    with pytest.raises(SpecError, match="for 16 px"):
        Trainer(net, code, dataset(20), tmp_path, recipe({}))
    with pytest.raises(LayerError, match="no layer"):
        Trainer(net, "nowhere", dataset(), tmp_path, recipe({}))
    with pytest.raises(SpecError, match="out of range"):
        recipe({"lr": -1})
    assert fitted(dataset(20), 16).size == 16
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_generator_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    list(one.run())
    one.keep()
    card = json.loads((tmp_path / files.CARD).read_text())
    for key, value, words in (
        ("code_shape", [13], "codes are"), ("decoder", {"hidden": 8, "width": 16}, "decoder does not fit"),
        ("encoder", {}, "card cannot be used"), ("encoder", {**card["encoder"], "arch": "none"}, "card cannot be used"),
        ("denoisers", ["denoiser"], "denoiser does not fit"),
    ):  # fmt: skip
        (tmp_path / files.CARD).write_text(json.dumps({**card, key: value}))
        with pytest.raises(GeneratorError, match=words):
            files.load(tmp_path)
    with pytest.raises(GeneratorError, match="no generator in this folder"):
        files.load(tmp_path / "nowhere")
    (tmp_path / files.CARD).write_text(json.dumps(card))
    (tmp_path / files.WEIGHTS).write_bytes(b"weights")
    with pytest.raises(GeneratorError):
        files.load(tmp_path)


def test_statistics_are_of_each_unit() -> None:
    codes = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    stats = measure(codes)
    assert stats.mean.tolist() == [2, 3]
    assert stats.lower.tolist() == [0, 0]
    assert stats.upper.tolist() == [8, 9]
    assert measure(codes - 2).lower.tolist() == [-6, -5]
    assert stats.scale == 2


def test_the_feature_layer_is_the_last_with_maps_before_the_code() -> None:
    assert earlier(load("digits"), "relu3") == "pool"


def test_codes_are_drawn_as_they_vary_together() -> None:
    rng = torch.Generator().manual_seed(0)
    mix = torch.randn(3, 6, generator=rng)
    codes = torch.randn(400, 3, generator=rng) @ mix + 0.1 * torch.randn(400, 6, generator=rng)
    codes = codes.view(400, 2, 3, 1) + 5
    found = axes(codes, 3)
    assert torch.allclose(found.units @ found.units.T, torch.eye(3), atol=1e-5)
    noise = torch.randn(100_000, 6, generator=rng)
    flat = codes.flatten(1)
    drawn = found.drawn(noise, flat.std(0))
    wanted = torch.cov(flat.T)
    assert torch.allclose(torch.cov(drawn.T), wanted, atol=0.03 * float(wanted.abs().max()))
    alone = flat.std(0) * noise  # unit by unit, as without axes
    assert not torch.allclose(torch.cov(alone.T), wanted, atol=0.3 * float(wanted.abs().max()))


def test_codes_of_maps_have_axes_and_a_denoiser_of_maps(tmp_path: Path) -> None:
    net = network()
    code = next(name for name, part in net.module.named_modules() if isinstance(part, torch.nn.MaxPool2d))
    chosen = recipe({"steps": 2, "batch_size": 4, "hidden": 16, "width": 16, "denoisers": 2})
    one = Trainer(net, code, dataset(), tmp_path, chosen)
    second = one.decoder.dense[2].weight.clone()
    first = one.decoder.dense[0].weight.clone()
    seen = one.decoder.dense[0](one.generator().encode(dataset().any.images.float() / 255).flatten(1))
    assert torch.allclose(seen.mean(0), torch.zeros(16), atol=1e-4)  # the mean of the codes is where nothing is seen
    far = torch.cov(seen[:, :8].T)
    assert torch.allclose(far, far.diag().diag(), atol=1e-3)  # along the main axes, nothing varies with another
    one.decoder.train().requires_grad_(True)
    list(one.run())
    assert torch.equal(one.decoder.dense[0].weight, first)
    assert not torch.equal(one.decoder.dense[2].weight, second)
    list(one.train_denoisers())
    one.finish()
    made, own = files.load(tmp_path), one.generator()
    assert len(made.code_shape) == 3
    assert isinstance(made.denoiser, CodeDenoiser)
    codes = made.sample(3, seed=1)
    assert torch.allclose(codes, own.sample(3, seed=1), atol=0.1)  # axes are kept in half precision
    assert made.denoise(codes).shape == codes.shape
    state = load_file(tmp_path / files.WEIGHTS)
    state["stats.spread"] = torch.ones(17)
    save_file(state, tmp_path / files.WEIGHTS)
    with pytest.raises(GeneratorError, match="17 spreads"):
        files.load(tmp_path)


def test_an_encoder_is_halved_where_nothing_is_lost(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    one.keep()
    before = (tmp_path / files.WEIGHTS).stat().st_size
    name = f"encoder.{next(key for key, _ in one.network.module.named_parameters())}"
    assert load_file(tmp_path / files.WEIGHTS)[name].dtype == torch.float32
    one.network.module.half().float()
    one.keep()
    assert load_file(tmp_path / files.WEIGHTS)[name].dtype == torch.float16
    assert (tmp_path / files.WEIGHTS).stat().st_size < before
    own, kept = one.network.module.state_dict(), files.load(tmp_path).encoder.module.state_dict()
    assert all(torch.equal(own[key], kept[key]) for key in own)


@pytest.mark.parametrize("name", ["mnist", "fer2013", "cifar10"])
def test_named_data_sets_have_a_network_and_a_layer_that_can_be_a_code(name: str) -> None:
    encoder, layer, feature = DEFAULTS[name]
    net = load(encoder)
    x = torch.zeros(1, net.card.channels, net.card.size, net.card.size)
    with torch.no_grad():
        seen = Cut(net.module, [feature, layer])(x)
    assert seen[layer][0].numel() <= MOST
    assert seen[feature].ndim == 4


def test_quality_is_of_pictures_of_all_classes(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    part = dataset().any
    order = part.labels.argsort(stable=True)  # as class folders are read
    sorted_ = Part(part.images[order], part.labels[order])
    few, all_ = quality(one.generator(), sorted_, 30), quality(one.generator(), sorted_)
    assert few["image_error"] == pytest.approx(all_["image_error"], rel=0.02)
    first = quality(one.generator(), Part(sorted_.images[:20], sorted_.labels[:20]))
    assert first["image_error"] != pytest.approx(all_["image_error"], rel=0.02)
