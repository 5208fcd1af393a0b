"""The one loop: gradient ascent on a batch of pictures, a generator of frames (for dreams see :mod:`vizcore.dream`).

Frame ``k`` shows the pictures *before* update ``k`` and their scores; a run of ``steps`` updates has frames 0 to
``steps``.
Nothing here prints, sleeps, writes or knows who looks on.  To stop, do not ask for the next frame.

A step is a generator that asks for what the network says of its pictures (:class:`Pass`), so that the passes of several
runs can be one (:mod:`vizcore.together`).
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from vizcore import objectives, penalties, transforms
from vizcore.aims import Aim, scaled
from vizcore.arithmetic import arithmetic, arriving, choose_precision, like, repeatable, sent
from vizcore.cppn import Painter
from vizcore.errors import SpecError
from vizcore.folding import fold
from vizcore.images import Fourier, Image, Pixels
from vizcore.layers import Cut, find_layer
from vizcore.maco import Phases
from vizcore.memory import is_out_of_memory
from vizcore.objectives import Objective
from vizcore.optimizers import Adam, PlainAscent, rate_of
from vizcore.params import Value
from vizcore.spec import Knobs, RunSpec
from vizcore.together import compute
from vizcore.window import Window, window

if TYPE_CHECKING:
    from vizcore.zoo.load import Network

HALVINGS = 3  # times that the rows which are computed at once are halved when memory is short
RESCUE = (
    16  # steps in which units that are off get a redirected gradient, and after which they count as dead (lucid: 16)
)

_CUTS: weakref.WeakKeyDictionary[nn.Module, weakref.WeakValueDictionary[object, Cut]] = weakref.WeakKeyDictionary()
"""Of each network: its folded copies that runs use now."""


@dataclass(frozen=True)
class Frame:
    """One step of a run, as it is shown and stored.

    Args:
        images: ``[N, H, W, C]`` uint8, or None when this step is not kept.
        scores: ``[N]`` float32, of the moved pictures that the network saw.
        gradient_norms: ``[N]`` float32, of the score with respect to what is ascended.
        seconds: that the step took.
        status: per row ``"ok"``, ``"zero gradient"``, ``"dead"`` (no score and no gradient for 16 steps) or ``"nan"``.
    """

    step: int
    images: np.ndarray | None
    scores: np.ndarray
    gradient_norms: np.ndarray
    seconds: float
    status: tuple[str, ...]


@dataclass(frozen=True)
class Pass:
    """A question of a run to the network: the gradient of its loss by these pictures, and their scores.

    Args:
        pictures: ``[N, C, H, W]`` in [0, 1].
        rows: of the batch of the run that they are.
        knobs: of this step.
        redirected: whether rectifiers redirect the gradient (:mod:`vizcore.rectifiers`).
    """

    pictures: Tensor
    rows: Sequence[int]
    knobs: Mapping[str, Value]
    redirected: bool = False


Answer = tuple[Tensor, Tensor]
"""Of a :class:`Pass`: gradient of the loss by the pictures ``[N, C, H, W]``, and scores ``[N]``."""

Coming = Callable[[], Frame]
"""A step that the device has been told to take: calling it waits for its frame.  To be called in the order of steps."""

T = TypeVar("T")
Asking = Generator[Pass, Answer, T]


def ascend(
    spec: RunSpec,
    network: Network,
    knobs: Knobs | None = None,
    *,
    device: str | torch.device = "cpu",
    exact: bool = False,
    keep: Callable[[int], bool] = lambda step: True,
    state: Mapping[str, np.ndarray] | None = None,
) -> Ascent:
    """A run of ``spec``, ready to be iterated over.

    Args:
        knobs: the hot values, which may be turned between two frames (at :attr:`Ascent.step`).
        exact: one thread and fp32, so that equal specs give equal bytes.
        keep: says of which steps the pictures are wanted.
        state: of :meth:`Ascent.checkpoint`, to go on from; ``knobs`` then holds the log of the run so far.

    Raises:
        SpecError: an objective that cannot be read, a picture that is too small, a state of another run.
        LayerError: a layer, channel or position that the network does not have.
    """
    from vizcore.dream import Dream
    from vizcore.generate.walking import Walking

    kind = Dream if spec.octaves else Walking if spec.parameterization == "generator" else Ascent
    return kind(spec, network, knobs, device=device, exact=exact, keep=keep, state=state)


class Ascent(Iterator[Frame]):
    """A run in progress; :func:`ascend` says what its arguments are.

    ``width`` is the number of rows that go through the network at once: all, unless memory was short.
    """

    def __init__(
        self,
        spec: RunSpec,
        network: Network,
        knobs: Knobs | None = None,
        *,
        device: str | torch.device = "cpu",
        exact: bool = False,
        keep: Callable[[int], bool] = lambda step: True,
        state: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.spec = spec
        self.knobs = knobs if knobs is not None else Knobs(spec)
        self.device = torch.device(device)
        self.precision = choose_precision(spec.precision, self.device, exact)
        self._exact = exact
        self.alone = exact  # or since a pass together with others has failed
        self._keep = keep
        self._network = network
        self._objective = objectives.parse(spec.objective, spec.layer, spec.targets, network.card)
        network.to(self.device)
        like(network.module, self.device)
        self.cut = Cut(network.module, self._objective.layers)
        self._aim = Aim(spec, network, self._objective, self.device, square=not spec.octaves)
        self.mean = torch.tensor(network.card.mean, device=self.device)[:, None, None]
        self._windows: dict[int, Window | None] = {}  # by padding
        self.width = len(spec.channels)  # rows that go through the network at once
        self._step = 0
        self._open = False  # the frame of this step has been given, but its update is still to be made
        # First step of the present row of steps without score and gradient.
        self._idle_since = np.full(len(spec.channels), -1)
        self._begin()
        with arithmetic(self.precision, self.device):
            self._check()
            if not exact:
                self.cut = self._folded()
        if state is not None:
            self._restore(state)

    def _begin(self) -> None:
        """What is ascended, and all that steps change in it."""
        spec = self.spec
        self._image = _start(spec, self._network, self.device)
        self._optimizer = Adam(self._image.parameter) if spec.optimizer == "adam" else PlainAscent()
        # Where the gradient has been, summed over steps: what a MACO picture shows is what moved (Fel et al. 2023).
        self._transparency: Tensor | None = None
        if spec.parameterization == "maco":
            self._transparency = torch.zeros(len(spec.channels), spec.size, spec.size, device=self.device)

    def _check(self) -> None:
        check(self.spec, self._network, self._objective, self.cut, self.device)

    def _grey(self) -> Tensor:
        return _grey(self.spec, self._network, self.device)

    @property
    def note(self) -> str:
        """What of the spec has no effect, and why, as one sentence; empty if all has."""
        return ""

    @property
    def step(self) -> int:
        """The step of the next update: a knob that is turned now acts from it on."""
        return self._step

    def __next__(self) -> Frame:
        """The next frame; raises StopIteration after frame ``steps``, until the knob ``steps`` is raised."""
        coming = self.launch()
        if coming is None:
            raise StopIteration
        return coming()

    def launch(self) -> Coming | None:
        """Tell the device to take the next step, and do not wait for it; None at the end.

        Who launches a step before asking for the frame of the last one (:func:`ahead`) keeps a GPU busy.
        """
        with repeatable(self.device) if self._exact else contextlib.nullcontext():
            return self._alone(self.asking())

    def _alone(self, asking: Asking[T]) -> T:
        try:
            question = next(asking)
            while True:
                question = asking.send(self.answer(question))
        except StopIteration as end:
            value: T = end.value
            return value

    def asking(self) -> Asking[Coming | None]:
        """The next step as a generator of its passes through the network; returns its frame, or None at the end."""
        begin = time.perf_counter()
        knobs = self.knobs.at(self._step)
        if self._open and self._step >= int(knobs["steps"]):
            return None
        if self._open:  # the run went on after its last frame: make up for the update
            self._update((yield from self._look(knobs)), knobs)
            knobs = self.knobs.at(self._step)
        step, self._open = self._step, self._step >= int(knobs["steps"])
        look = yield from self._look(knobs)
        images = in_bytes(look.picture) if self._keep(step) else None
        if not self._open:
            self._update(look, knobs)
        numbers = arriving(torch.stack([look.scores, look.norms]))
        pixels = arriving(images) if images is not None else None
        launched = time.perf_counter() - begin

        def frame() -> Frame:  # the only wait for the device
            asked = time.perf_counter()
            scores, norms = numbers()
            status = self._judge(step, scores, norms)
            shown = pixels() if pixels is not None else None
            return Frame(step, shown, scores, norms, launched + time.perf_counter() - asked, status)

        return frame

    def checkpoint(self) -> dict[str, np.ndarray]:
        """Copies of all that :func:`ascend` needs, beside spec and knobs, to go on from :attr:`step` bit for bit.

        To be taken when no launched step is on its way.
        """
        arrays = {name: tensor.detach().cpu().numpy().copy() for name, tensor in self._tensors().items()}
        begin = self._optimizer.begin if isinstance(self._optimizer, Adam) else 0
        later = {"adam_begin": np.array(begin)} if begin else {}
        return {"step": np.array(self._step), "idle_since": self._idle_since.copy(), **later, **arrays}

    def _restore(self, state: Mapping[str, np.ndarray]) -> None:
        tensors = self._tensors()
        shapes = {"step": (), "idle_since": self._idle_since.shape} | {k: tuple(t.shape) for k, t in tensors.items()}
        if any(name not in state or np.shape(state[name]) != shape for name, shape in shapes.items()):
            raise SpecError("The checkpoint is of another run.", "Start this run from its beginning.")
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(torch.from_numpy(np.array(state[name])))
        self._step, self._idle_since = int(state["step"]), np.array(state["idle_since"])
        if isinstance(self._optimizer, Adam):
            self._optimizer.begin = int(state.get("adam_begin", 0))

    def _tensors(self) -> dict[str, Tensor]:
        seen = {"transparency": self._transparency} if self._transparency is not None else {}
        return {"parameter": self._image.parameter, **seen, **self._optimizer.state()}

    def _folded(self) -> Cut:
        """The folded network up to the layer; runs that can use the same have the same."""
        layers, half = self._objective.layers, self.precision == "bf16"
        module = self._network.module
        known = _CUTS.setdefault(module, weakref.WeakValueDictionary())
        version = sum(value._version for value in (*module.parameters(), *module.buffers()))  # it may be in training
        key = (layers, half, str(self.device), version)
        found = known.get(key)
        if found is None:
            grey = self._grey()
            found = Cut(fold(module, layers, lambda part: Cut(part, layers)(grey), half), layers)
            known[key] = found
        return found

    def _look(self, knobs: Mapping[str, Value]) -> Asking[Look]:
        """Forward and backward at the present step."""
        self._image.settle()
        look = yield from self._differentiate(knobs, range(len(self.spec.channels)))
        off = (look.norms == 0).nonzero()[:, 0].tolist() if self._step < RESCUE else []
        if off:
            other = yield from self._differentiate(knobs, off, redirected=True)  # its gradient is 0 in all other rows
            look.gradients = [g + o for g, o in zip(look.gradients, other.gradients, strict=True)]
            look.pull = look.norms + other.norms
        return look

    def _differentiate(self, knobs: Mapping[str, Value], rows: Sequence[int], redirected: bool = False) -> Asking[Look]:
        """Scores of ``rows``, and the gradients of all, which are 0 in the others."""
        canvas = self._image.canvas()
        picture = self._image.picture(canvas)
        seen = picture.detach()
        slopes, scores = yield Pass(seen if len(rows) == len(seen) else seen[rows], rows, knobs, redirected)
        if len(rows) < len(seen):
            slopes = torch.zeros_like(seen).index_copy_(0, sent(np.array(rows), self.device), slopes)
        wanted = [self._image.parameter, canvas] if penalties.needs_canvas_gradient(knobs) else [self._image.parameter]
        gradients = list(torch.autograd.grad(picture, wanted, slopes))
        norms = torch.linalg.vector_norm(gradients[0].flatten(1), dim=1)
        return Look(seen, scores, norms, gradients, norms, slopes)

    def answer(self, question: Pass) -> Answer:
        """What the network says, of as many rows at once as fit.

        Where memory is short, the number of rows is halved up to three times, for this step and all that follow.
        """
        rows, pictures = question.rows, question.pictures
        while True:
            width = min(self.width, len(rows))
            try:
                parts = [
                    compute(
                        [(self, replace(question, pictures=pictures[at : at + width], rows=rows[at : at + width]))]
                    )[0]
                    for at in range(0, len(rows), width)
                ]
            except Exception as error:
                if not is_out_of_memory(error) or width == 1 or self.width <= len(self.spec.channels) / 2**HALVINGS:
                    raise
            else:
                slopes, scores = zip(*parts, strict=True)
                return (slopes[0], scores[0]) if len(parts) == 1 else (torch.cat(slopes), torch.cat(scores))
            # Only here, outside of the except block, is the memory of what failed free.
            self.width = (width + 1) // 2
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def shares(self, other: Ascent) -> bool:
        """Whether its next pass can be one with that of ``other``: one network, cut, precision and size of pictures."""
        return (
            self.cut is other.cut
            and self.precision == other.precision
            and self._seen() == other._seen()
            and not any(run.alone or run.width < len(run.spec.channels) for run in (self, other))
        )

    def _seen(self) -> tuple[int, Window | None]:
        """Size of the framed picture, and the part of it that goes through the network."""
        pad = framed(self._network, self.knobs.at(self._step)["pad"])
        return self.spec.size + 2 * pad, self._window(pad)

    def _window(self, pad: int) -> Window | None:
        if pad not in self._windows:
            size = self.spec.size + 2 * pad
            blank = torch.zeros(1, self._network.card.channels, size, size, device=self.device)
            whole = Cut(self._network.module, self._objective.layers)
            whole_too = self._exact or bool(self.spec.octaves)  # a dream has many sizes, and tiles of its own
            self._windows[pad] = None if whole_too else window(whole, self._objective, blank)
        return self._windows[pad]

    @property
    def views(self) -> int:
        """Pictures that go through the network in the next step: its rows, each as many times as it is cropped."""
        return len(self.spec.channels) * max(1, int(self.knobs.at(self._step)["crops"]))

    def scores(self, activations: objectives.Activations, question: Pass) -> Tensor:
        """Scores ``[N]`` of the pictures of ``question``, from what the network said of them as they were moved."""
        rows, crops = question.rows, max(1, int(question.knobs["crops"]))
        whole = crops == 1 and len(rows) == len(self.spec.channels)
        objective = self._objective if whole else self._objective.rows([row for row in rows for _ in range(crops)])
        still = replace(question, knobs={**question.knobs, "noise": 0.0})
        aim = self._aim.seen(self.cut, lambda picture: self.moved(picture.expand(len(rows), -1, -1, -1), still))
        part = self._window(framed(self._network, question.knobs["pad"]))
        found = (objective.at(part.position) if part else objective)(activations, aim)
        return found if crops == 1 else found.view(len(rows), crops).mean(1)

    def moved(self, pictures: Tensor, question: Pass) -> Tensor:
        """Pictures ``[N, C, H, W]`` in [0, 1] as the network gets them: cropped, normalised, moved, framed.

        Of neurons, only the part that they see.
        """
        knobs, channels = question.knobs, [self.spec.channels[row] for row in question.rows]
        jitter, scale, rotate = int(knobs["jitter"]), float(knobs["scale"]), float(knobs["rotate"])
        seed, step, crops = self.spec.seed, self._step, int(knobs["crops"])
        if knobs["noise"]:
            pictures = transforms.noise(pictures, seed, step, channels, float(knobs["noise"]))
        if crops:
            first, last = float(knobs["crop_first"]), float(knobs["crop_last"])
            side = transforms.side_at(step, int(knobs["steps"]), first, last) / 100
            pictures = transforms.crop(pictures, seed, step, channels, crops, side)
            channels = [channel for channel in channels for _ in range(crops)]
        moves = transforms.draw(seed, step, channels, jitter, scale, rotate)
        pad = framed(self._network, knobs["pad"])
        part = self._window(pad)
        wanted = (part.rows, part.columns) if part else None
        return transforms.move(self._network.normalize(pictures), moves, pad, wanted)

    def _update(self, look: Look, knobs: Mapping[str, Value]) -> None:
        """Take the step that ``look`` asks for; a row without a finite gradient stays, and leaves the others alone."""
        gradients, norms = look.gradients, look.pull
        finite = norms.isfinite()
        if self._transparency is not None:
            self._transparency += look.slopes.abs().sum(1).nan_to_num(0, 0, 0)
        if self.device.type != "cpu" or not bool(finite.all()):  # asking a GPU would mean to wait for it
            gradients = [torch.where(_like_rows(finite, g), g, 0) for g in gradients]
            norms = torch.where(finite, norms, 0)
        rate, desired = float(knobs["rate"]), float(knobs["desired"])
        rates = rate_of(self.spec.policy, self._step, int(knobs["steps"]), rate, desired, norms)
        self._optimizer.update(self._image.parameter, gradients[0], rates, self._step)
        penalties.project(self._image, knobs, self._step, -gradients[1] if len(gradients) > 1 else None)
        self._step += 1

    def _judge(self, step: int, scores: np.ndarray, norms: np.ndarray) -> tuple[str, ...]:
        idle = (scores == 0) & (norms == 0)
        self._idle_since = np.where(idle, np.where(self._idle_since < 0, step, self._idle_since), -1)
        dead = idle & (step - self._idle_since + 1 >= RESCUE)
        finite = np.isfinite(scores) & np.isfinite(norms)
        names = np.select([~finite, dead, norms == 0], ["nan", "dead", "zero gradient"], "ok")
        return tuple(str(name) for name in names)


def ahead(ascent: Ascent) -> Iterator[Frame]:
    """The frames of an ascent, each given when a GPU is at the next step already; elsewhere as they come.

    The state of the ascent may then be one step ahead of the frame, so knobs and checkpoints are not for its users.
    """
    if ascent.device.type != "cuda":
        yield from ascent
        return
    coming = ascent.launch()
    while coming is not None:
        following = ascent.launch()
        yield coming()
        coming = following


@dataclass
class Look:
    """What one forward and backward pass found; gradients are of the loss, by the parameter, then by the canvas."""

    picture: Tensor
    scores: Tensor
    norms: Tensor
    gradients: list[Tensor]
    pull: Tensor  # norms of the gradients that are followed, which differ from ``norms`` in rows that are being rescued
    slopes: Tensor  # of the loss, by the picture


def score(spec: RunSpec, network: Network, images: Tensor) -> Tensor:
    """Scores ``[N]`` in fp32 of pictures ``[N, C, H, W]`` in [0, 1] as they are, one row for each channel of the spec.

    The network stays where it is; the pictures are brought to it.
    """
    objective = objectives.parse(spec.objective, spec.layer, spec.targets, network.card)
    cut = Cut(network.module, objective.layers)
    device = next((p.device for p in network.module.parameters()), torch.device("cpu"))
    aim = Aim(spec, network, objective, device, square=not spec.octaves)
    images = as_seen(spec, network, images)
    shape = (int(images.shape[2]), int(images.shape[3]))
    with torch.no_grad():
        seen = aim.seen(cut, lambda picture: network.normalize(scaled(picture, shape)))
        return objective(cut(network.normalize(images.to(device, torch.float32))), seen).cpu()


def as_seen(spec: RunSpec, network: Network, images: Tensor) -> Tensor:
    """Pictures ``[N, C, H, W]`` of a run at the size at which the network sees them: a generator's are fitted to it."""
    if spec.parameterization != "generator" or spec.octaves:
        return images
    from vizcore.generate.condition import fitted

    return fitted(images, network.card.size, spec.fit)


def check(spec: RunSpec, network: Network, objective: Objective, cut: Cut, device: torch.device) -> None:
    """Look through the network once, at one grey picture of the size.

    Raises:
        SpecError: the size is too small for the layer, or not the one that the network takes.
        LayerError: the layer has no such channel or position.
    """
    own = network.card.size
    fitted = spec.octaves or spec.parameterization == "generator"
    if network.card.facts.get("fixed_size") and spec.size != own and not fitted:
        raise SpecError(f"This network takes pictures of {own} px only.", f"Use a size of {own} px.")
    try:
        with torch.no_grad():
            activations = cut(_grey(spec, network, device))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if spec.layer:
            find_layer(network, spec.layer, spec.size)  # says which size would do
        hint = f"Raise the size; the network was made for {network.card.size} px."
        raise SpecError(f"A picture of {spec.size} px is too small for layer {spec.layer!r}.", hint) from error
    objective.check(activations)


def framed(network: Network, pad: Value) -> int:
    """Pixels of grey around the picture: none where the network takes pictures of one size only."""
    return 0 if network.card.facts.get("fixed_size") else int(pad)


def _grey(spec: RunSpec, network: Network, device: torch.device) -> Tensor:
    size = spec.size + 2 * framed(network, spec.pad)
    return torch.zeros(1, network.card.channels, size, size, device=device)


def _start(spec: RunSpec, network: Network, device: torch.device) -> Image:
    shape = (network.card.channels, spec.size, spec.size)
    if spec.parameterization == "pixel":
        return Pixels(spec.channels, shape, spec.start, spec.seed, network.card.mean, device)
    if spec.parameterization == "maco":
        return Phases(spec.channels, shape, spec.seed, spec.spectrum, spec.decorrelate, device)
    if spec.parameterization == "cppn":
        return Painter(spec.channels, shape, spec.start, spec.seed, device)
    return Fourier(spec.channels, shape, spec.start, spec.seed, spec.fourier_decay, spec.decorrelate, device)


def in_bytes(picture: Tensor) -> Tensor:
    """``[N, H, W, C]`` uint8 of a picture in [0, 1], rounded; what is not a number becomes 0."""
    return picture.mul(255).add_(0.5).nan_to_num_(0).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _like_rows(rows: Tensor, x: Tensor) -> Tensor:
    return rows.view(-1, *[1] * (x.ndim - 1))
