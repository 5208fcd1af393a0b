"""Training a generator: the decoder of a network's layer, with image, feature and adversarial loss.

``L = |x − G(h)|² + feature · |E₁(x) − E₁(G(h))|² / var(E₁) + adversarial · L_GAN``, with h = E(x) the code and E₁ an
earlier layer of the same network (Dosovitskiy & Brox 2016, equation 1).  With ``noise`` on picture, feature and code it
is joint PPGN-h, without it the noiseless one (Nguyen et al. 2017, sections 3.4 and 3.5).

Where the code is maps, thousands of numbers that vary together, the decoder sees them along the main axes of the codes
of real pictures, which are not trained: what changes its picture is what real pictures differ by.

Batches belong to (seed, step), so a training that was cut off goes on as if it had not been.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vizcore
from vizcore.errors import SpecError, TrainingError
from vizcore.export import drafted, write_atomically
from vizcore.generate import files
from vizcore.generate.generator import AXES, Autoencoder, Axes, CodeStats, axes, measure, resized
from vizcore.generate.nets import CodeDenoiser, Decoder, Discriminator, ImageDenoiser
from vizcore.layers import Cut, find_layer
from vizcore.params import Param, collect, param
from vizcore.train.data import Dataset, Part
from vizcore.zoo.load import Network

RESUME, ORDER = "resume.pt", "training.json"
MOST = 8192  # numbers in a code: the dense layer behind it has 256 weights for each
MEASURED = 4000  # pictures that statistics are taken of
PAUSE = (0.1, 10.0)  # loss of the discriminator, relative to the generator's, below (above) which it (the other) rests


@dataclass(frozen=True)
class Recipe:
    """How a generator is trained."""

    steps: int = param(2400, "Steps", "Changes of the weights.", "Generator", minimum=1, maximum=10_000_000)
    batch_size: int = param(64, "Batch size", "Pictures of a step.", "Generator", minimum=2, maximum=4096)
    lr: float = param(2e-3, "Learning rate", "Highest rate, of Adam; it rises and falls.", "Generator",
                      minimum=1e-7, maximum=1.0, log=True)  # fmt: skip
    feature: float = param(0.05, "Feature loss", "Weight of the distance in an earlier layer.", "Generator",
                           minimum=0, maximum=100)  # fmt: skip
    adversarial: float = param(0.002, "Adversarial loss", "Weight of the discriminator's verdict.", "Generator",
                               minimum=0, maximum=100)  # fmt: skip
    noise: float = param(0.0, "Noise", "Of picture, feature and code, in their deviations; 0 is noiseless.",
                         "Generator", minimum=0, maximum=3)  # fmt: skip
    hidden: int = param(256, "Hidden units", "Of the decoder.", "Generator", minimum=8, maximum=8192)
    width: int = param(64, "Width", "Channels of the decoder's first maps.", "Generator", minimum=16, maximum=1024)
    denoisers: int = param(600, "Denoisers", "Steps of each denoiser, of codes (PPGN-h) and of pictures (PPGN-x); "
                           "0 for none.", "Generator", minimum=0, maximum=1_000_000)  # fmt: skip
    half: bool = param(False, "bf16", "Compute the decoder's training in bf16, where the processor multiplies it.",
                       "Generator")  # fmt: skip
    seed: int = param(0, "Seed", "Of weights, order, noise.", "Generator", minimum=0, maximum=2**31 - 1)


PARAMS: dict[str, Param] = collect(Recipe)


def recipe(values: dict[str, object]) -> Recipe:
    """The recipe with these values, each checked; raises :class:`SpecError`."""
    return Recipe(**{name: PARAMS[name].coerce(value) for name, value in values.items()})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Step:
    """Means of the losses since the last one that was told."""

    step: int
    image: float
    feature: float
    adversarial: float


class Trainer:
    """A training that can be stopped between any two steps and goes on from its folder.

    Args:
        network: the encoder; it is not changed.
        layer: whose output is the code, and ``feature_layer``, an earlier one (the middle of those before it if empty).
        name, title: of the generator.
        facts: for its card.
    """

    def __init__(self, network: Network, layer: str, dataset: Dataset, out: Path, what: Recipe, *,
                 feature_layer: str = "", name: str = "", title: str = "", fresh: bool = False,
                 facts: dict[str, Any] | None = None) -> None:  # fmt: skip
        self.network, self.layer, self.dataset, self.out, self.recipe = network, layer, dataset, out, what
        self.name, self.title, self.facts = (
            name or out.resolve().name,
            title or f"{dataset.name} generator",
            facts or {},
        )
        if dataset.train is None:
            raise TrainingError("The data set has no pictures to train with.", "Put them into a folder train.")
        self.train: Part = dataset.train
        self._fits()
        shape = self._code_shape()
        self.feature_layer = feature_layer or earlier(network, layer)
        if self.feature_layer:
            find_layer(network, self.feature_layer)
        self._cut = Cut(network.module, [layer])
        self._early = Cut(network.module, [self.feature_layer]) if self.feature_layer else self._cut
        self._both = (
            Cut(network.module, list(dict.fromkeys([self.feature_layer, layer]))) if self.feature_layer else None
        )
        count = int(torch.tensor(shape).prod())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(what.seed)
            self.decoder = Decoder(count, dataset.channels, dataset.size, what.hidden, what.width)
            self.critic = Discriminator(dataset.channels)
            self.denoiser, self.image_denoiser = CodeDenoiser(shape), ImageDenoiser(dataset.channels)
        self._maps = len(shape) > 1
        learnt = [v for name, v in self.decoder.named_parameters() if not (self._maps and name.startswith("dense.0."))]
        self._adam = torch.optim.Adam(learnt, what.lr)
        self._critic_adam = torch.optim.Adam(self.critic.parameters(), what.lr / 4, betas=(0.5, 0.999))
        self.step, self.seconds, self.cpu = 0, 0.0, 0.0
        self._resting = ""
        self._begin(fresh)
        self.stats, self.axes = self._measure()

    @property
    def finished(self) -> bool:
        """Whether all steps of the decoder are done."""
        return self.step >= self.recipe.steps

    def run(self, every: int = 50) -> Iterator[Step]:
        """Train the decoder; yields every so many steps."""
        sums, count = [0.0, 0.0, 0.0], 0
        self.decoder.train()
        while not self.finished:
            with self._timed():
                found = self._one()
            sums, count = [a + b for a, b in zip(sums, found, strict=True)], count + 1
            self.step += 1
            if self.step % every == 0 or self.finished:
                yield Step(self.step, *(total / count for total in sums))
                sums, count = [0.0, 0.0, 0.0], 0

    def train_denoisers(self, every: int = 50) -> Iterator[int]:
        """Train R_h and R_x on noise of up to one deviation of a code unit, and 0.3 of a pixel's range."""
        steps = self.recipe.denoisers
        codes = torch.optim.Adam(self.denoiser.parameters(), 2e-3)
        images = torch.optim.Adam(self.image_denoiser.parameters(), 2e-3)
        scale = self.stats.scale
        for step in range(steps):
            with self._timed():
                rng = self._rng(step, 1)
                pictures = self._pick(rng, 128)
                with torch.no_grad(), self._precision():
                    code = self._code(pictures).float() / scale
                noisy = code + torch.randn(code.shape, generator=rng) * torch.rand(
                    len(code), *[1] * (code.ndim - 1), generator=rng
                )
                _descend(codes, F.mse_loss(self.denoiser(noisy), code))
                small = pictures[:32]
                noisy = small + 0.3 * torch.rand(len(small), 1, 1, 1, generator=rng) * torch.randn(
                    small.shape, generator=rng
                )
                _descend(images, F.mse_loss(self.image_denoiser(noisy), small))
            if (step + 1) % every == 0 or step + 1 == steps:
                yield step + 1

    def keep(self) -> None:
        """Write generator and checkpoint as they are now."""
        files.save(self.out, self.generator(), self.title, self._options(), {**self._told(), "steps": self.step})
        with drafted(self.out / RESUME) as draft:
            torch.save(
                {"step": self.step, "seconds": self.seconds, "cpu": self.cpu, "decoder": self.decoder.state_dict(),
                 "critic": self.critic.state_dict(), "adam": self._adam.state_dict(),
                 "critic_adam": self._critic_adam.state_dict(), "resting": self._resting}, draft,
            )  # fmt: skip
        self.decoder.train().requires_grad_(True)

    def finish(self) -> dict[str, Any]:
        """Measure the generator, write it with its denoisers, and complete its card; returns what was measured."""
        made = self.generator(denoisers=bool(self.recipe.denoisers))
        found = quality(made, self.dataset.test or self.train)
        facts = {**self._told(), "steps": self.step, **found}
        files.save(self.out, made, self.title, self._options(), facts)
        (self.out / RESUME).unlink(missing_ok=True)
        return found

    def generator(self, denoisers: bool = False) -> Autoencoder:
        """The generator as it is now."""
        return Autoencoder(
            self.name, self.network, self.layer, self.decoder, self.stats, self.denoiser if denoisers else None,
            self.image_denoiser if denoisers else None, self._told(), self.axes,
        )  # fmt: skip

    def _one(self) -> tuple[float, float, float]:
        what, rng = self.recipe, self._rng(self.step, 0)
        pictures = self._pick(rng, what.batch_size)
        with torch.no_grad(), self._precision():
            feature, code = self._see(pictures, rng)
            code = code.float()
        if what.noise:
            code = code + what.noise * self.stats.scale * torch.randn(code.shape, generator=rng)
        with self._precision():
            made = self.decoder(code).float()
        image = F.mse_loss(made, pictures)
        loss, far, verdict = image, torch.zeros(()), torch.zeros(())
        if what.feature and feature is not None:
            with self._precision():
                seen = self._early(self.network.normalize(made))[self.feature_layer]
            feature = feature.float()
            far = F.mse_loss(seen.float(), feature) / feature.var().clamp_min(1e-12)
            loss = loss + what.feature * far
        if what.adversarial and self._resting != "generator":
            with self._precision():
                verdict = self.critic(made).float()
            verdict = F.softplus(-verdict).mean()
            loss = loss + what.adversarial * verdict
        for group in self._adam.param_groups:
            group["lr"] = what.lr * _rate(self.step / what.steps)
        _descend(self._adam, loss)
        fooled = float(verdict.detach())
        if what.adversarial:
            doubt = self._judge(pictures, made.detach())
            ratio = doubt / max(fooled, 1e-12) if self._resting != "generator" else 1.0
            self._resting = "critic" if ratio < PAUSE[0] else "generator" if ratio > PAUSE[1] else ""
        return float(image.detach()), float(far.detach()), fooled

    def _judge(self, real: Tensor, made: Tensor) -> float:
        """Let the discriminator learn, unless it rests; its loss."""
        with self._precision():
            yes, no = self.critic(real).float(), self.critic(made).float()
        loss = (F.softplus(-yes) + F.softplus(no)).mean()
        if self._resting != "critic":
            _descend(self._critic_adam, loss)
        return float(loss.detach())

    def _see(self, pictures: Tensor, rng: torch.Generator) -> tuple[Tensor | None, Tensor]:
        """Feature (of clean pictures) and code (through noise, where there is some)."""
        clean = self.network.normalize(pictures)
        if self._both is None:
            return None, self._cut(clean)[self.layer]
        seen = self._both(clean)
        feature, code = seen[self.feature_layer], seen[self.layer]
        if self.recipe.noise:
            share = self.recipe.noise
            part = self.network.module.get_submodule(self.feature_layer)
            std = float(feature.std())
            hook = part.register_forward_hook(
                lambda _m, _a, out: out + share * std * torch.randn(out.shape, generator=rng)
            )
            try:
                noisy = pictures + share * pictures.std() * torch.randn(pictures.shape, generator=rng)
                code = self._cut(self.network.normalize(noisy))[self.layer]
            finally:
                hook.remove()
        return feature, code

    def _code(self, pictures: Tensor) -> Tensor:
        return self._cut(self.network.normalize(pictures))[self.layer]

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        return torch.autocast("cpu", torch.bfloat16) if self.recipe.half else contextlib.nullcontext()

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the seconds that pass, and those of the processor."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu

    def _pick(self, rng: torch.Generator, count: int) -> Tensor:
        rows = torch.randint(0, len(self.train), (count,), generator=rng)
        return self.train.images[rows].float() / 255

    def _rng(self, step: int, purpose: int) -> torch.Generator:
        return torch.Generator().manual_seed((self.recipe.seed * 2 + purpose) * 1_000_003 + step)

    def _measure(self) -> tuple[CodeStats, Axes | None]:
        """Statistics of the code, and of maps the main axes, along which the decoder is made to see them."""
        rng = self._rng(0, 1)
        rows = torch.randperm(len(self.train), generator=rng)[:MEASURED]
        with torch.no_grad():
            codes = torch.cat([self._code(self.train.images[part].float() / 255) for part in torch.split(rows, 500)])
        stats = measure(codes)
        if not self._maps:
            return stats, None
        found = axes(codes, max(self.recipe.hidden, AXES))
        if self.step == 0:
            self.decoder.see(found.units, stats.mean, float(found.spread[: self.recipe.hidden].mean()))
        known = min(AXES, self.recipe.hidden)
        return stats, Axes(found.units[:known], found.spread[:known])

    def _fits(self) -> None:
        card, data = self.network.card, self.dataset
        if card.channels != data.channels:
            kinds = {1: "grey", 3: "colour"}
            raise SpecError(
                f"The encoder takes {kinds[card.channels]} pictures, {data.name} has {kinds[data.channels]} ones.",
                "Choose another encoder, or --channels.",
            )
        if card.size != data.size:
            raise SpecError(
                f"The encoder is for {card.size} px, the pictures of {data.name} have {data.size} px.",
                f"Choose another encoder, or --size {card.size}.",
            )
        if not 16 <= data.size <= 96:
            raise SpecError(f"Pictures of {data.size} px are none for this kind of generator.", "Use 16 to 96 px.")

    def _code_shape(self) -> tuple[int, ...]:
        find_layer(self.network, self.layer)
        with torch.no_grad():
            shape = tuple(Cut(self.network.module, [self.layer])(self._blank())[self.layer].shape[1:])
        count = int(torch.tensor(shape).prod())
        if count > MOST:
            raise SpecError(
                f"A code of {self.layer} would have {count:,} numbers.", f"Choose a later layer, of at most {MOST:,}."
            )
        return shape

    def _blank(self) -> Tensor:
        return torch.zeros(1, self.dataset.channels, self.dataset.size, self.dataset.size)

    def _options(self) -> dict[str, int]:
        return {"hidden": self.recipe.hidden, "width": self.recipe.width}

    def _told(self) -> dict[str, Any]:
        what = self.recipe
        words = f"{what.steps} steps of {what.batch_size} pictures, Adam {what.lr:g}; feature loss {what.feature:g} "
        words += f"({self.feature_layer or 'none'}), adversarial loss {what.adversarial:g}, noise {what.noise:g}"
        words += "; bf16" if what.half else ""
        return {
            **self.facts, "data": self.dataset.facts.get("data", self.dataset.name), "recipe": words, "seed": what.seed,
            "seconds": round(self.seconds), "cpu_seconds": round(self.cpu), "vizcore": vizcore.__version__,
        }  # fmt: skip

    def _begin(self, fresh: bool) -> None:
        """Take up the checkpoint in the folder, if it is of the same training."""
        self.out.mkdir(parents=True, exist_ok=True)
        order = {
            **dataclasses.asdict(self.recipe), "dataset": self.dataset.name, "layer": self.layer,
            "feature_layer": self.feature_layer, "pictures": len(self.train), "encoder": _hash(self.network.module),
        }  # fmt: skip
        there = _json(self.out / ORDER)
        if there is not None and not fresh:
            if there != order:
                changed = next((key for key in order if there.get(key) != order[key]), "order")
                raise TrainingError(
                    f"Another training is in this folder (its {changed.replace('_', ' ')} differs).",
                    "Use another --out, or --fresh to begin anew.",
                )
            if not (self.out / RESUME).is_file() and (self.out / files.WEIGHTS).is_file():
                raise TrainingError(
                    "The training in this folder is finished.", "Use another --out, or --fresh to begin anew."
                )
            if (self.out / RESUME).is_file():
                self._restore()
                return
        elif there is None and (self.out / files.WEIGHTS).is_file() and not fresh:
            raise TrainingError("There are weights in this folder.", "Use another --out, or --fresh to replace them.")
        (self.out / RESUME).unlink(missing_ok=True)
        write_atomically(self.out / ORDER, (json.dumps(order, indent=2) + "\n").encode())

    def _restore(self) -> None:
        try:
            found = torch.load(self.out / RESUME, map_location="cpu", weights_only=True)
            self.decoder.load_state_dict(found["decoder"])
            self.critic.load_state_dict(found["critic"])
            self._adam.load_state_dict(found["adam"])
            self._critic_adam.load_state_dict(found["critic_adam"])
            self.step, self._resting = found["step"], found["resting"]
            self.seconds, self.cpu = found["seconds"], found["cpu"]
        except Exception:  # torch's errors for damaged files are of a dozen types
            raise TrainingError("The checkpoint in this folder is damaged.", "Use --fresh to begin anew.") from None


def quality(generator: Autoencoder, part: Part, most: int = 2000) -> dict[str, float]:
    """What is lost between a picture and its decoded code.

    Returns:
        ``class_kept``: the share of pictures whose class, as the encoder's network sees it, stays; ``image_error``:
        mean square of pixels; ``code_error``: ‖E(G(h)) − h‖ / ‖h‖.
    """
    rows = torch.linspace(0, len(part) - 1, min(most, len(part))).long()  # evenly: class folders come class by class
    pictures = part.images[rows].float() / 255
    network = generator.encoder
    kept, error, far, long = 0, 0.0, 0.0, 0.0
    with torch.no_grad():
        for x in torch.split(pictures, 250):
            code = generator.encode(x)
            made = generator.decode(code)
            before, after = (network.module(network.normalize(p)).argmax(1) for p in (x, made))
            kept += int((before == after).sum())
            error += float(F.mse_loss(made, x)) * len(x)
            again = generator.encode(made)
            far += float((again - code).flatten(1).norm(dim=1).sum())
            long += float(code.flatten(1).norm(dim=1).sum())
    count = len(pictures)
    return {
        "class_kept": round(kept / count, 4), "image_error": round(error / count, 5),
        "code_error": round(far / max(long, 1e-12), 4),
    }  # fmt: skip


def earlier(network: Network, layer: str) -> str:
    """The last pooling or rectifier with maps before ``layer``; empty if there is none."""
    from vizcore.layers import list_in_order

    found = [one.path for one in list_in_order(network, until=layer) if one.path != layer and one.height > 1
             and one.kind in ("pool", "relu", "block")]  # fmt: skip
    maps = [path for path in found if not layer.startswith(path + ".")]
    return maps[-1] if maps else ""


def fitted(dataset: Dataset, size: int) -> Dataset:
    """``dataset`` with its pictures at another size."""

    def at(part: Part | None) -> Part | None:
        if part is None or part.images.shape[2] == size:
            return part
        rows = [
            resized(x.float(), (size, size)).round().clamp(0, 255).to(torch.uint8)
            for x in torch.split(part.images, 500)
        ]
        return dataclasses.replace(part, images=torch.cat(rows))

    return dataclasses.replace(dataset, train=at(dataset.train), validate=at(dataset.validate), test=at(dataset.test))


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _rate(progress: float) -> float:
    """Up over the first tenth, then evenly down to 0."""
    return min((progress + 1e-3) / 0.101, (1 - progress) / 0.9)


def _hash(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode() + value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
