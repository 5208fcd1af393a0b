"""Which pixels a unit's activation comes from, by many methods with one signature.

All but deconvnet and guided backpropagation (``deconvnet``), whose rectifiers Captum does not see in every network, are
Captum's (Kokhlikyan et al. 2020, arXiv:2009.07896).  Relevance is signed, with respect to the normalised input; the
baseline, where a method needs one, is the mean colour of the training data, which is 0 there.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vizcore.errors import LayerError, SpecError
from vizcore.layers import list_in_order
from vizcore.look import deconvnet, relevance
from vizcore.look.display import Values
from vizcore.look.pictures import Picture, fit
from vizcore.look.units import Unit, normalised, scorer
from vizcore.zoo.load import Network

IG_STEPS = 50
IG_ERROR = 0.01  # of completeness, above which more steps are taken ...
IG_MOST = 400  # ... up to this many
SMOOTH_SAMPLES = 25
SMOOTH_NOISE = 0.15  # standard deviation as a share of the input's range (Smilkov et al. 2017: 10 to 20 %)
OCCLUSION_PARTS = 8  # a patch covers 1/8 of the side and moves by half its size
_ROWS = 8  # pictures in a batch of the methods that need many


@dataclass(frozen=True)
class Attribution:
    """What a method says of a unit and a picture.

    Args:
        values: signed relevance ``[C, H, W]`` of the normalised input (Grad-CAM: one plane).
        picture: as the network saw it, ``[H, W, C]``.
        score: the unit's activation.
        intercepted: rectifiers that the rule acted on; None where no rule is at work.
        facts: what the method says of itself, such as the error of completeness.
        note: a sentence for people, or empty.
    """

    method: str
    unit: Unit
    values: Values
    picture: Picture
    score: float
    seconds: float
    intercepted: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Asked:
    """What a method is asked: a network, a normalised picture ``[1, C, H, W]``, a unit, a seed for its noise.

    ``pause`` is called before each pass, which others may use for something else.
    """

    network: Network
    z: Tensor
    unit: Unit
    seed: int = 0
    pause: Callable[[], None] = lambda: None

    @property
    def forward(self) -> Callable[[Tensor], Tensor]:
        """From normalised pictures to the unit's activations ``[N]``."""
        score = scorer(self.network, self.unit)

        def act(z: Tensor) -> Tensor:
            self.pause()
            return score(z)

        return act


@dataclass(frozen=True)
class Answer:
    """What a method answers: relevance ``[1, C, H, W]`` and what it has to say of itself."""

    values: Tensor
    intercepted: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Method:
    """A method by the names that people know, its source, and the function that carries it out."""

    label: str
    help: str
    paper: str
    run: Callable[[Asked], Answer]


def attribute(
    network: Network, picture: Picture, unit: Unit, method: str, size: int | None = None, *, seed: int = 0,
    pause: Callable[[], None] = lambda: None,
) -> Attribution:  # fmt: skip
    """What ``method`` says of ``unit`` and a picture ``[H, W, 3]``.

    Args:
        method: one of ``METHODS``.
        size: of the picture for the network, in pixels; the network's own if not given.
        seed: of the noise of SmoothGrad.
        pause: called before each pass through the network; whatever it raises ends the work.

    Raises:
        SpecError: there is no such method.
        LayerError: there is no such unit, or the method does not support it; the message says why.
    """
    if method not in METHODS:
        raise SpecError(f"There is no method {method[:40]!r}.", f"Use one of {', '.join(METHODS)}.")
    reason = why_not(network, method)
    if reason:
        raise LayerError(reason, "Choose another method.")
    fitted = fit(picture, size or network.card.size, network.card.channels)
    began = time.perf_counter()
    asked = Asked(network, normalised(network, fitted[None]), unit, seed, pause)
    with torch.no_grad():
        score = float(asked.forward(asked.z))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum warns that it sets requires_grad, and that hooks are removed
        answer = METHODS[method].run(asked)
    values = answer.values[0].detach().float().cpu().numpy()
    seconds = time.perf_counter() - began
    return Attribution(
        method, unit, values, fitted, score, seconds, answer.intercepted, dict(answer.facts), answer.note
    )


def why_not(network: Network, method: str) -> str:
    """Why a network cannot be asked by a method, as far as that can be said without trying; else empty."""
    if method in ("deconv", "guided", "guided-gradcam"):
        reason = deconvnet.why_not(network.module, "deconv" if method == "deconv" else "guided")
        if reason:
            return reason
    if method in ("gradcam", "guided-gradcam") and any(
        isinstance(part, nn.MultiheadAttention) for part in network.module.modules()
    ):
        return "Grad-CAM needs a last layer of maps; this network computes with tokens and attention."
    if method == "lrp":
        return relevance.why_not(network.module)
    return ""


def _saliency(asked: Asked) -> Answer:
    from captum.attr import Saliency

    return Answer(Saliency(asked.forward).attribute(_input(asked), abs=True))


def _input_gradient(asked: Asked) -> Answer:
    from captum.attr import InputXGradient

    return Answer(InputXGradient(asked.forward).attribute(_input(asked)))


def _smoothgrad(asked: Asked) -> Answer:
    from captum.attr import NoiseTunnel, Saliency

    spread = SMOOTH_NOISE * float(asked.z.max() - asked.z.min())
    with torch.random.fork_rng(devices=[asked.z.device] if asked.z.is_cuda else []):
        torch.manual_seed(asked.seed)
        values = NoiseTunnel(Saliency(asked.forward)).attribute(
            _input(asked), nt_type="smoothgrad", nt_samples=SMOOTH_SAMPLES, nt_samples_batch_size=_ROWS, stdevs=spread,
            abs=False,
        )  # fmt: skip
    return Answer(values, facts={"samples": SMOOTH_SAMPLES, "noise": spread})


def _integrated(asked: Asked) -> Answer:
    from captum.attr import IntegratedGradients

    method, baseline = IntegratedGradients(asked.forward), torch.zeros_like(asked.z)
    with torch.no_grad():
        rise = float(asked.forward(asked.z) - asked.forward(baseline))
    steps = IG_STEPS
    while True:
        values = method.attribute(_input(asked), baseline, n_steps=steps, internal_batch_size=_ROWS)
        error = abs(float(values.sum()) - rise) / max(abs(rise), 1e-12)
        if error < IG_ERROR or 2 * steps > IG_MOST:
            break
        steps *= 2
    note = "" if error < IG_ERROR else f"The relevance of all pixels misses the rise of the score by {error:.1%}."
    return Answer(values, facts={"steps": steps, "completeness_error": error}, note=note)


def _gradcam(asked: Asked) -> Answer:
    from captum.attr import LayerGradCam

    beside: set[str] = set()
    while True:
        path = last_maps(asked.network, asked.unit, asked.z.shape[-1], beside)
        method = LayerGradCam(asked.forward, asked.network.module.get_submodule(path))
        try:
            small = method.attribute(_input(asked), relu_attributions=True)
            break
        except RuntimeError:
            if _leads_to_unit(asked, path):
                raise
            beside.add(path)  # another branch, which happens to be computed first
    values = F.interpolate(small, asked.z.shape[2:], mode="bilinear", align_corners=False)
    note = "" if bool((values > 0).any()) else "No map of that layer speaks for this unit, so the heat map is empty."
    return Answer(values, facts={"of_layer": path, "maps": list(small.shape[2:])}, note=note)


def _guided_gradcam(asked: Asked) -> Answer:
    cam, guided = _gradcam(asked), _rule("guided")(asked)
    return replace(guided, values=guided.values * cam.values, facts=cam.facts, note=cam.note or guided.note)


def _occlusion(asked: Asked) -> Answer:
    from captum.attr import Occlusion

    side = max(1, round(asked.z.shape[-1] / OCCLUSION_PARTS))
    step = max(1, side // 2)
    channels = asked.z.shape[1]

    def forward(z: Tensor) -> Tensor:
        with torch.no_grad():
            return asked.forward(z)

    values = Occlusion(forward).attribute(
        asked.z, (channels, side, side), (channels, step, step), 0.0, perturbations_per_eval=_ROWS
    )
    return Answer(values[:, :1], facts={"patch": side, "stride": step})


def _lrp(asked: Asked) -> Answer:
    values, error = relevance.propagate(asked.network.module, asked.z, asked.unit)
    return Answer(values, facts={"conservation_error": error})


def _rule(rule: deconvnet.Rule) -> Callable[[Asked], Answer]:
    def run(asked: Asked) -> Answer:
        found = deconvnet.project(asked.network, asked.z, asked.unit, rule)
        note = "" if found.intercepted else "There is no rectifier below this unit, so this is the plain gradient."
        if not bool(found.values.any()):
            note = "Nothing of the signal reaches the picture: a layer on the way lets none of it through."
            note += " Choose a filter of a convolution, whose signal starts from one position."
        return Answer(found.values, found.intercepted, {"seed": 1.0}, note)

    return run


METHODS: Mapping[str, Method] = {
    "deconv": Method(
        "Deconvnet", "Carried back with rectified signals: what in the picture the unit looks at.",
        "Zeiler & Fergus 2014", _rule("deconv"),
    ),
    "guided": Method(
        "Guided backpropagation", "The gradient, only along paths that are active and positive.",
        "Springenberg et al. 2014", _rule("guided"),
    ),
    "saliency": Method(
        "Gradient (saliency)", "How much each pixel would change the activation.", "Simonyan et al. 2013", _saliency,
    ),
    "input-gradient": Method(
        "Gradient × input", "The gradient times the pixel itself.", "Shrikumar et al. 2016", _input_gradient,
    ),
    "smoothgrad": Method(
        "SmoothGrad", "The mean gradient of 25 noisy copies of the picture.", "Smilkov et al. 2017", _smoothgrad,
    ),
    "ig": Method(
        "Integrated gradients", "The gradient along the way from a plain colour; it adds up to the score.",
        "Sundararajan et al. 2017", _integrated,
    ),
    "gradcam": Method(
        "Grad-CAM", "Which places of the last maps speak for the unit.", "Selvaraju et al. 2017", _gradcam,
    ),
    "guided-gradcam": Method(
        "Guided Grad-CAM", "Guided backpropagation where Grad-CAM is warm.", "Selvaraju et al. 2017", _guided_gradcam,
    ),
    "occlusion": Method(
        "Occlusion", "How much the activation falls when a patch is covered.", "Zeiler & Fergus 2014", _occlusion,
    ),
    "lrp": Method(
        "Layer-wise relevance propagation", "The score, handed down layer by layer without loss.",
        "Bach et al. 2015; γ rule of Montavon et al. 2019", _lrp,
    ),
}  # fmt: skip
"""Every method by its name on the command line."""


def _leads_to_unit(asked: Asked, path: str) -> bool:
    """Whether the unit depends on a layer that is computed before it."""
    outputs: list[Tensor] = []
    part = asked.network.module.get_submodule(path)
    handle = part.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        score = asked.forward(_input(asked))
    finally:
        handle.remove()
    return torch.autograd.grad(score.sum(), outputs[:1], allow_unused=True)[0] is not None


def last_maps(network: Network, unit: Unit, size: int, without: Collection[str] = ()) -> str:
    """The layer that Grad-CAM looks at: the last maps before the unit's layer that are larger than a pixel.

    That is the last convolution or rectifier, or a block behind it that keeps its size; a map per class (SqueezeNet's
    last convolution) is not taken, as it would answer by itself.  ``without`` are layers that the unit does not depend
    on.

    Raises:
        LayerError: there are no such maps before the unit.
    """
    classes = len(network.card.classes) if not unit.layer else -1
    before = [
        layer
        for layer in list_in_order(network, size, unit.layer)
        if layer.height * layer.width > 1
        and layer.channels != classes
        and layer.path != unit.layer
        and layer.path not in without
        and not unit.layer.startswith(f"{layer.path}.")
        and not layer.path.startswith(f"{unit.layer}.")
    ]
    anchor = next((i for i in reversed(range(len(before))) if before[i].kind in ("conv", "relu")), None)
    if anchor is None:
        raise LayerError("Grad-CAM needs maps before the unit, and there are none.", "Choose a deeper layer.")
    shape = (before[anchor].height, before[anchor].width)
    same = [layer for layer in before[anchor:] if (layer.height, layer.width) == shape and layer.kind != "pool"]
    blocks = [layer for layer in same if layer.kind == "block"]
    return (blocks or same)[-1].path


def _input(asked: Asked) -> Tensor:
    return asked.z.detach().clone().requires_grad_()
