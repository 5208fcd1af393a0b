"""The loop, the folder and the command: a training is repeatable, goes on after a kill, and says what went wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from app.target import check_model
from tests.conftest import Run
from tests.train import samples
from vizcore.cli import rounds
from vizcore.engine.networks import Networks
from vizcore.errors import EngineError, ModelError, SpecError, TrainingError
from vizcore.train import augment, changes, loop
from vizcore.train import recipe as recipes
from vizcore.train.changes import Augmentation
from vizcore.train.data.parts import Part
from vizcore.train.loop import Training
from vizcore.train.recipe import Recipe, Robust
from vizcore.zoo.card import trained
from vizcore.zoo.load import load
from vizcore.zoo.plain import Cnn, Mlp


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return samples.tree(tmp_path / "stripes", classes=2, count=16)


SMALL = ("--filters", "4,8", "--epochs", "3", "--batch-size", "8", "--precision", "fp32", "--lr", "0.02")


def part(count: int = 16, channels: int = 1, size: int = 8) -> Part:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, channels, size, size), generator=rng, dtype=torch.uint8)
    return Part(images, torch.arange(count) % 2)


def training(recipe: Recipe | None = None, **values: Any) -> Training:
    torch.manual_seed(0)
    module = values.pop("module", None) or Mlp(2, 1, 8, 8, (6,))
    return Training(recipe or Recipe(epochs=2, batch_size=8), module, (0.5,), (0.25,), part(), **values)


def go(what: Training, epochs: int = 1) -> None:
    for _ in range(epochs):
        for _step in what.epoch():
            pass


def test_a_step_is_that_of_a_plain_loop() -> None:
    """Transcribed with torch alone: the same order of pictures, SGD with momentum, no decay of biases."""
    recipe = Recipe(
        epochs=1, batch_size=8, optimizer="sgd", lr=0.1, schedule="cosine", weight_decay=0.01, smoothing=0.1
    )
    ours = training(recipe)
    theirs = Mlp(2, 1, 8, 8, (6,))
    theirs.load_state_dict(ours.module.state_dict())
    go(ours)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    speed = {name: torch.zeros_like(p) for name, p in theirs.named_parameters()}
    for step, rows in enumerate(order.split(8)):
        x = (part().images[rows].float() / 255 - 0.5) / 0.25
        loss = F.cross_entropy(theirs(x), part().labels[rows], label_smoothing=0.1)
        theirs.zero_grad()
        loss.backward()
        rate = 0.1 * (1 + torch.cos(torch.tensor(torch.pi * step / 2))) / 2
        with torch.no_grad():
            for name, p in theirs.named_parameters():
                gradient = p.grad + (0.01 * p if p.ndim > 1 else 0)
                speed[name] = 0.9 * speed[name] + gradient
                p -= rate * (gradient + 0.9 * speed[name])  # Nesterov
    for name, p in theirs.named_parameters():
        torch.testing.assert_close(p, ours.module.get_parameter(name), atol=1e-5, rtol=1e-4)


def test_a_training_that_goes_on_equals_one_that_was_not_cut() -> None:
    how = {"augmentation": changes.parse("flip,shift:1"), "validate": part(6)}
    recipe = Recipe(epochs=4, batch_size=8, average=0.9)
    whole, first = training(recipe, **how), training(recipe, **how)
    go(whole, 4)
    go(first, 2)
    second = training(recipe, **how)
    second.restore(first.checkpoint())
    go(second, 2)
    for key, value in whole.state().items():
        assert torch.equal(value, second.state()[key]), key
    assert [e.loss for e in second.epochs] == [e.loss for e in whole.epochs]


def test_attacks_of_a_training_have_the_steps_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, five = Robust(0.5, 1), Robust(0.5), Robust(0.5, 5)
    assert [recipes.parse_robust(text) for text in ("l2:0.5:1", "l2:0.5", "l2:0.5:5")] == [one, two, five]
    assert [how.steps * how.rate for how in (one, two, five)] == pytest.approx([1.0, 1.4, 1.4])
    plain, starts = loop.attack_l2, []

    def watched(*values: Any) -> torch.Tensor:
        starts.append(values[6])
        hostile = plain(*values)
        assert float((hostile - values[1]).flatten(1).norm(dim=1).max()) <= 0.5 + 1e-5
        return hostile

    monkeypatch.setattr(loop, "attack_l2", watched)
    recipe = Recipe(epochs=2, batch_size=8)
    whole, first, second = (training(recipe, robust=one) for _ in range(3))
    go(whole, 2)
    go(first)
    second.restore(first.checkpoint())
    go(second)  # the random starts, too, go on where they were
    for key, value in whole.state().items():
        assert torch.equal(value, second.state()[key]), key
    assert all(starts)
    whole.epochs[0].validation_accuracy, whole.epochs[1].validation_accuracy = 0.9, 0.5
    assert whole.best == 1  # the last: on pictures as they are the first ones are best
    plainly = training(recipe, validate=part(6))
    go(plainly, 2)
    plainly.epochs[0].validation_accuracy, plainly.epochs[1].validation_accuracy = 0.9, 0.5
    assert plainly.best == 0
    go(training(recipe, robust=two))
    assert starts[-1] is None


def test_the_average_is_what_is_measured_and_kept() -> None:
    what = training(Recipe(epochs=1, batch_size=8, average=0.5), validate=part(6))
    before = what.state()
    go(what)
    assert what.average is not None
    own = what.module.state_dict()
    assert all(torch.equal(value, what.average.state[key]) for key, value in what.state().items())
    assert any(not torch.equal(value, own[key]) for key, value in what.state().items())
    assert any(not torch.equal(value, before[key]) for key, value in what.state().items())
    assert what.module.training


def test_frozen_layers_keep_their_weights_and_their_statistics() -> None:
    torch.manual_seed(0)
    module = Cnn(2, 1, (4, 4))
    what = training(module=module, frozen=lambda name: name.startswith("block1."))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    go(what)
    changed = {key for key, value in module.state_dict().items() if not torch.equal(value, before[key])}
    assert not any(key.startswith("block1.") for key in changed)
    assert {"block2.conv.weight", "block2.bn.running_mean", "fc.weight"} <= changed


def test_memory_that_is_short_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    what = training(Recipe(epochs=1, batch_size=16))
    plain, sizes = what.logits, []

    def short(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        if len(x) > 4:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"
            )
        return plain(x)

    monkeypatch.setattr(what, "logits", short)
    [step] = what.epoch()
    assert sizes == [16, 8, 4, 4, 4, 4]
    assert "4 pictures" in step.note
    other = training(Recipe(epochs=1, batch_size=16))
    go(other)
    for key, value in what.state().items():  # the gradient is that of the whole batch
        torch.testing.assert_close(value, other.state()[key], atol=1e-4, rtol=1e-3)
    monkeypatch.setattr(what, "logits", lambda x: short(x.repeat(8, 1, 1, 1)))
    with pytest.raises(EngineError, match="Not even"):
        go(what)


def test_a_loss_that_is_no_number_stops_with_the_step_and_what_to_try() -> None:
    what = training(Recipe(epochs=3, batch_size=8, lr=0.01))
    go(what)
    with torch.no_grad():
        what.module.get_parameter("fc.weight").fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"step 3 \(epoch 2\); what epoch 1 gave is kept") as problem:
        go(what)
    assert "--lr 0.001" in problem.value.hint


@pytest.mark.parametrize("schedule", recipes.SCHEDULES)
def test_schedules(schedule: str) -> None:
    recipe = Recipe(lr=1.0, schedule=schedule)
    values = [recipes.rate(recipe, step / 100) for step in range(100)]
    assert max(values) == pytest.approx(1, abs=0.01)
    assert min(values) > 0
    wanted = {"onecycle": (0.005, 1.0, 0.625), "cosine": (1, 0.905, 0.5), "step": (1, 1, 0.1), "constant": (1, 1, 1)}
    assert [values[0], values[20], values[50]] == pytest.approx(wanted[schedule], abs=0.01)


def test_augmentations_leave_what_they_should() -> None:
    images = torch.randint(0, 256, (64, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    mean = torch.full((3, 1, 1), 0.5)

    def changed(**values: float) -> torch.Tensor:
        return augment.apply(images, Augmentation(**values), mean, torch.Generator().manual_seed(2))

    plain = images.float() / 255
    assert torch.equal(changed(), plain)
    flipped = changed(flip=1)
    same = (flipped == plain).flatten(1).all(1)
    assert 15 < int(same.sum()) < 50
    assert torch.equal(flipped[~same], plain[~same].flip(3))
    moved = changed(crop=3)
    padded = F.pad(plain, [3] * 4, mode="reflect")
    windows = {(y, x): padded[:, :, y : y + 12, x : x + 12] for y in range(7) for x in range(7)}
    found = [next((k for k, w in windows.items() if torch.equal(w[i], moved[i])), None) for i in range(64)]
    assert None not in found
    assert {y for y, _ in found} == set(range(7))  # type: ignore[misc]
    edge = F.pad(plain, [2] * 4, mode="replicate")
    shifted = changed(shift=2)
    assert all(
        any(torch.equal(edge[i, :, y : y + 12, x : x + 12], shifted[i]) for y in range(5) for x in range(5))
        for i in range(64)
    )
    holes = changed(cutout=4) == 0.5
    assert int(holes.all(1).sum((1, 2)).max()) == 16
    for values in ({"zoom": 0.2}, {"rotate": 30}, {"light": 0.5}):
        x = changed(**values)
        assert 0 <= float(x.min()) <= float(x.max()) <= 1
        assert not torch.equal(x, plain)
    assert torch.equal(changed(flip=1, crop=2, zoom=0.1), changed(flip=1, crop=2, zoom=0.1))


@pytest.mark.parametrize("text", ["spin", "crop:x", "crop:1.5", "flip:-1", "light:2"])
def test_wrong_augmentations(text: str) -> None:
    with pytest.raises(SpecError):
        changes.parse(text)


@pytest.mark.parametrize("size", [16, 20, 33])
@pytest.mark.parametrize("name", ["relu", "leakyrelu", "elu", "prelu"])
def test_a_cnn_takes_its_size_and_others(name: str, size: int) -> None:
    net = Cnn(3, 1, (4, 6), 3, 1, name, 0.2, 0.1, (5,), 2).eval()
    assert net(torch.zeros(2, 1, size, size)).shape == (2, 3)
    first = net[0].act
    x = torch.tensor([-1.0, 2.0])
    below = {"relu": 0.0, "leakyrelu": -0.2, "elu": 0.2 * (torch.e**-1 - 1), "prelu": -0.2}[name]
    assert first(x).tolist() == pytest.approx([below, 2.0])


def test_an_mlp_sees_each_pixel_once() -> None:
    net = Mlp(3, 1, 7, 5, (2,), bias=False)
    assert [tuple(p.shape) for p in net.parameters()] == [(2, 35), (3, 2)]
    x = torch.arange(49.0).view(1, 1, 7, 7)
    assert torch.equal(net.pixels(x), x[0, 0, :, 1:6].reshape(1, 35))
    assert torch.equal(net.pixels(x.repeat_interleave(2, 2).repeat_interleave(2, 3)), net.pixels(x))


def test_the_command_leaves_a_network_that_loads(run: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "net"
    found = run("train", folder, "--out", out, *SMALL, "--activation", "elu", "--alpha", 0.5, "--units", "6")
    assert (found["state"], len(found["epochs"]), found["accuracy"]) == ("done", 3, 1.0)
    network = load(str(out / "weights.safetensors"))
    card = network.card
    assert (card.name, card.size, card.channels, card.classes) == ("net", 16, 3, ("a", "b"))
    assert card.arch_options["filters"] == [4, 8]
    assert card.arch_options["alpha"] == 0.5
    assert card.facts["accuracy"] == 1.0
    assert card.facts["command"].startswith(f"vizcore train {folder} --out {out} ")  # whoever called it
    assert "--json" not in card.facts["command"]
    assert (out / "log.csv").read_text().count("\n") == 4
    assert load(str(out / "last" / "weights.safetensors")).card.facts["epochs"] == 3
    assert not (out / "resume.pt").exists()
    assert "block1.conv" in {layer["path"] for layer in run("layers", out / "weights.safetensors")["layers"]}
    assert "finished" in run("train", folder, "--out", out, *SMALL, "--activation", "elu", "--alpha", 0.5,
                             "--units", "6", code=2)["error"]["message"]  # fmt: skip
    assert "Another" in run("train", folder, "--out", out, *SMALL, code=2)["error"]["message"]


def test_letters_are_learnt_and_failed_seeds_are_told(run: Run, tmp_path: Path) -> None:
    found = run("train", "efl", "--out", tmp_path / "l", "--seed", 1, "--restarts", 3)
    assert found["accuracy"] >= 0.99
    assert [item["seed"] for item in found["failed_seeds"]] == [1]
    card = json.loads((tmp_path / "l" / "card.json").read_text())
    assert card["failed_seeds"] == {"1": pytest.approx(0.667, abs=0.01)}
    assert (card["arch"], card["parameters"], card["seed"]) == ("mlp", 76, 2)


def test_a_head_is_tuned_and_the_rest_stays(run: Run, folder: Path, tmp_path: Path) -> None:
    run("train", folder, "--out", tmp_path / "n", "--start", "imagenette-robust", "--tune", "head", "--epochs", 1)
    state, before = load_file(tmp_path / "n" / "weights.safetensors"), load("imagenette-robust").module.state_dict()
    assert state["fc.weight"].shape == (2, 256)
    assert all(torch.equal(value, before[key]) for key, value in state.items() if not key.startswith("fc."))
    assert load(str(tmp_path / "n" / "weights.safetensors")).card.mean == load("imagenette-robust").card.mean
    begin = ("--start", "imagenette-robust", "--tune", "block3", "--option", "pool=true", "--epochs", 1)
    run("train", folder, "--out", tmp_path / "t", *begin)
    assert isinstance(load(str(tmp_path / "t" / "weights.safetensors")).module.block1.down.pool, nn.MaxPool2d)
    state = load_file(tmp_path / "t" / "weights.safetensors")
    same = {key.split(".")[0] for key, value in state.items() if torch.equal(value, before.get(key, torch.zeros(0)))}
    assert {"stem", "block1", "block2"} <= same
    assert not torch.equal(state["block3.down.conv.weight"], before["block3.down.conv.weight"])


def test_a_network_of_torchvision_gets_a_new_head(run: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    run("train", folder, "--out", out, "--arch", "squeezenet1_1", "--size", 32, "--epochs", 1)
    network = load(str(out / "weights.safetensors"))
    assert (network.card.arch, network.card.classes) == ("squeezenet1_1", ("a", "b"))
    assert network.module(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


def test_robust_training_attacks(run: Run, folder: Path, tmp_path: Path) -> None:
    found = run("train", folder, "--out", tmp_path / "r", *SMALL, "--robust", "l2:0.5")
    assert 0 <= found["robust_accuracy"] <= found["accuracy"]
    assert "epsilon 0.5" in json.loads((tmp_path / "r" / "card.json").read_text())["attack"]


def test_what_the_page_trained_is_a_network_by_name(run: Run, folder: Path, home: Path) -> None:
    out = home / "trainings" / "20260101-000000-abcdef"
    run("train", folder, "--out", out, *SMALL)
    name = "own:20260101-000000-abcdef"
    assert list(trained()) == [name]
    network = load(name)
    assert (network.card.name, network.card.classes) == (name, ("a", "b"))
    assert check_model(name, []) == name
    networks = Networks("cpu", lambda model, note: None)
    first = networks.get(name, None)
    assert networks.get(name, None) is first
    run("train", folder, "--out", out, *SMALL, "--fresh", "--seed", 1)
    assert networks.ready(name, None) is None  # it has learnt something else
    assert networks.get(name, None).card.weights_hash != first.card.weights_hash
    with pytest.raises(ModelError, match="no network"):
        load("own:20260101-000000-ffffff")
    with pytest.raises(ModelError):
        check_model("own:../x", [])


def test_curves_for_tensorboard(run: Run, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run("train", folder, "--out", tmp_path / "b", *SMALL, "--tensorboard")
    assert list((tmp_path / "b" / "tensorboard").glob("events.out.tfevents.*"))


def test_half_precision_halves_the_file(run: Run, folder: Path, tmp_path: Path) -> None:
    run("train", folder, "--out", tmp_path / "h", *SMALL, "--half")
    state = load_file(tmp_path / "h" / "weights.safetensors")
    assert {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float16}
    assert next(load(str(tmp_path / "h" / "weights.safetensors")).module.parameters()).dtype == torch.float32


def test_a_kill_costs_one_epoch_at_most(run: Run, folder: Path, tmp_path: Path) -> None:
    args = ["train", str(folder), "--out", str(tmp_path / "k"), *SMALL, "--epochs", "10000", "--patience", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vizcore", *args], env={**os.environ, "VIZCORE_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    log = tmp_path / "k" / "log.csv"
    try:
        while process.poll() is None and (not log.exists() or log.read_text().count("\n") < 4):
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert load(str(tmp_path / "k" / "weights.safetensors")).card.classes == ("a", "b")
    before = log.read_text().splitlines()[1:]
    from vizcore.train import orders, runner

    order = orders.Order(**{**json.loads((tmp_path / "k" / "training.json").read_text()), "recipe": recipes.build(
        json.loads((tmp_path / "k" / "training.json").read_text())["recipe"])})  # fmt: skip
    again = runner.Runner(order, tmp_path / "k")
    again.prepare()
    assert len(before) - 1 <= again.resumed <= len(before) + 1
    assert again.resumed >= 2
    next(event for event in again.run() if type(event).__name__ == "Epoch")
    assert log.read_text().splitlines()[1:3] == before[:2]


def test_it_goes_on_with_the_same_pictures_only(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", folder, "--out", tmp_path / "n", *SMALL)
    plain, calls = loop.Training._gradients, []

    def cut(self: Training, x: torch.Tensor, y: torch.Tensor) -> tuple[float, int]:
        calls.append(1)
        return (float("nan"), 0) if len(calls) > 8 else plain(self, x, y)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "_gradients", cut)
        run(*command, code=2)
    checkpoint = tmp_path / "n" / "resume.pt"
    before = checkpoint.read_bytes()
    for change in ("content", "number", "class"):
        other = shutil.copytree(folder, tmp_path / change)
        if change == "content":
            shutil.copy(other / "train" / "b" / "0.png", other / "train" / "a" / "0.png")
        elif change == "number":
            (other / "test" / "a" / "0.png").unlink()
        else:
            shutil.copytree(other / "train" / "a", other / "train" / "c")
        aside = folder.rename(tmp_path / "aside")
        other.rename(folder)
        error = run(*command, code=2)["error"]
        assert error["kind"] == "TrainingError"
        assert "not those that the training in this folder began with" in error["message"], change
        assert checkpoint.read_bytes() == before
        shutil.rmtree(folder)
        aside.rename(folder)
    with monkeypatch.context() as patch:

        def short(*_: object) -> None:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

        patch.setattr("vizcore.train.runner.Runner._begin", short)
        assert "damaged" not in run(*command, code=2)["error"]["message"]
    for nonsense in ([1], {"module": {}}, {"runner": {}, "module": {}}):
        torch.save(nonsense, checkpoint)
        assert "checkpoint in this folder is damaged" in run(*command, code=2)["error"]["message"]
    checkpoint.write_bytes(before)
    assert 1 <= run(*command)["resumed_from"] <= 2


def test_what_is_tested_must_have_been_learnt(run: Run, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "test" / "a", folder / "test" / "c")
    error = run("train", folder, "--out", tmp_path / "n", *SMALL, code=2)["error"]
    assert "'c' has pictures for test and none to train with" in error["message"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--epochs", "0"], "Epochs is '0', out of range"),
        (["--lr", "nan"], "Learning rate is 'nan'"),
        (["--optimizer", "magic"], "Optimizer cannot be 'magic'"),
        (["--filters", "4,x"], "--filters has '4,x'"),
        (["--filters", "4,4,4,4,4,4"], "does not take pictures of 16 px"),
        (["--activation", "gelu"], "no activation 'gelu'"),
        (["--arch", "resnet"], "There is no architecture 'resnet'"),
        (["--option", "stem"], "no name=value"),
        (["--option", "depth=2"], "has no option 'depth'"),
        (["--augment", "spin"], "no augmentation 'spin'"),
        (["--robust", "linf:1"], "no robust training"),
        (["--robust", "l2:-1"], "out of range"),
        (["--robust", "l2:1:0"], "The steps of --robust are '0'"),
        (["--robust", "l2:1:²"], "The steps of --robust are '²'"),
        (["--tune", "head"], "no weights to keep"),
        (["--start", "digits"], "1 channels, and these have 3"),
        (["--start", "nothing"], "no network 'nothing'"),
        (["--start", "imagenette-robust", "--tune", "layer9"], "no layer 'layer9'"),
        (["--size", "2"], "out of range"),
        (["--lr", "1e7"], "out of range"),
    ],
)
def test_orders_that_cannot_be_are_refused(run: Run, folder: Path, tmp_path: Path, args: list[str], words: str) -> None:
    if args[:2] == ["--start", "digits"]:
        args = [*args, "--channels", "3"]
    assert words in run("train", folder, "--out", tmp_path / "x", *args, code=2)["error"]["message"]
    assert not (tmp_path / "x" / "weights.safetensors").exists()


def test_a_loss_that_explodes_leaves_earlier_epochs_intact(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop.Training._gradients
    calls = []

    def broken(self: Training, x: torch.Tensor, y: torch.Tensor) -> tuple[float, int]:
        calls.append(1)
        return (float("nan"), 0) if len(calls) > 6 else real(self, x, y)

    monkeypatch.setattr(loop.Training, "_gradients", broken)
    error = run("train", folder, "--out", tmp_path / "n", *SMALL, code=2)["error"]
    assert error["kind"] == "TrainingError"
    assert "epoch 2 gave is kept" in error["message"] or "epoch 1 gave is kept" in error["message"]
    assert load(str(tmp_path / "n" / "weights.safetensors")).card.classes == ("a", "b")
    assert isinstance(load(str(tmp_path / "n" / "last" / "weights.safetensors")).module, nn.Module)


def test_rounds_are_made_once_each(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, last = tmp_path / "first", tmp_path / "last"
    both = ["train", str(folder), "--epochs", "1", "--batch-size", "8", "--precision", "fp32", "--threads", "1"]
    two = [
        [*both, "--filters", "4,8", "--out", str(first)],
        [*both, "--start", str(first / "weights.safetensors"), "--out", str(last)],
    ]
    assert rounds.train(two, []) == 0
    assert load(str(last / "weights.safetensors")).card.arch_options["filters"] == [4, 8]
    made = (first / "weights.safetensors").stat().st_mtime_ns
    shutil.rmtree(last)
    assert rounds.train(two, []) == 0
    assert (first / "weights.safetensors").stat().st_mtime_ns == made
    assert rounds.train(two, ["--fresh"]) == 0
    assert (first / "weights.safetensors").stat().st_mtime_ns != made
    (last / "training.json").unlink()  # as in a checkout
    made = (first / "weights.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    assert rounds.train(two, ["--json"]) == 2
    assert "--fresh" in json.loads(capsys.readouterr().out)["error"]["hint"]
    assert (first / "weights.safetensors").stat().st_mtime_ns == made


def test_more_of_the_same_classes_begins_where_it_ended(run: Run, folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    run("train", folder, "--out", first, *SMALL)
    begin = ("--start", first / "weights.safetensors", "--tune", "head", "--epochs", 1, "--lr", 1e-7)
    assert run("train", folder, "--out", second, *begin)["accuracy"] == 1.0
    old, new = (load_file(out / "weights.safetensors") for out in (first, second))
    torch.testing.assert_close(old["fc.weight"], new["fc.weight"], atol=1e-4, rtol=1e-3)
