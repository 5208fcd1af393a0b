"""Where inputs come from, by disturbing one channel and seeing which inputs feel it; and what feeds a filter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.look import nets
from vizcore.errors import LayerError
from vizcore.look.wiring import ADDED, PICTURE, Wiring, kernels_of, trace
from vizcore.zoo.load import Network, load

APART = {"squeezenet1_1": "features.4.squeeze", "googlenet": "inception3b.branch2.0.conv", "digits": "fc1"}
ADDING = {"resnet18": "layer2.1.conv1", "mobilenet_v2": "features.6.conv.0.0"}


def network(name: str) -> Network:
    return load(name) if name == "digits" else nets.random(name, 64)


def felt(net: Network, source: str, channel: int, into: str) -> set[int]:
    """The inputs of ``into`` that change when a channel of ``source`` is raised everywhere."""
    parts = dict(net.module.named_modules())
    seen: list[torch.Tensor] = []

    def raised(module: torch.nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        output[:, channel] += 50
        return output

    x = torch.randn(1, net.card.channels, net.card.size, net.card.size, generator=torch.Generator().manual_seed(0))
    for disturb in (False, True):
        handles = [parts[into].register_forward_pre_hook(lambda _m, args: seen.append(args[0].clone()))]
        if disturb:
            handles.append(parts[source].register_forward_hook(raised))
        with torch.no_grad():
            net.module(x)
        for handle in handles:
            handle.remove()
    changed = (seen[0] != seen[1]).flatten(2).any(2) if seen[0].ndim == 4 else seen[0] != seen[1]
    return set(torch.nonzero(changed[0])[:, 0].tolist())


@pytest.mark.parametrize("name", [*APART, *ADDING])
def test_an_input_feels_the_channels_that_it_is_said_to_be_made_of(name: str) -> None:
    net = network(name)
    wiring = trace(net)
    into = (APART | ADDING)[name]
    inputs = wiring.inputs[into]
    for index in np.random.default_rng(0).choice(len(inputs), 3, replace=False).tolist():
        assert inputs[index]
        for origin in inputs[index][:2]:
            named = {other for other, origins in enumerate(inputs) if origin in origins}
            reached = felt(net, *origin, into)
            assert index in reached
            if name in APART:
                # In digits a rectified map of 7 × 7 may be full already at some of its positions.
                assert reached == named
            else:
                assert named <= reached  # the sum has it twice: as it is, and through the convolutions between


def test_sums_concatenations_and_flattened_maps_are_told_apart() -> None:
    resnet = trace(network("resnet18"))
    assert resnet.inputs["layer1.1.conv1"][5] == (("layer1.0.conv2", 5), ("conv1", 5))
    assert resnet.inputs["conv1"] == tuple(((PICTURE, colour),) for colour in range(3))
    assert resnet.outputs["layer1.0"][7] == (("layer1.0.conv2", 7), ("conv1", 7))
    assert max(len(origins) for origins in resnet.inputs["fc"]) <= ADDED
    squeezed = trace(network("squeezenet1_1")).inputs["features.4.squeeze"]
    assert (squeezed[3], squeezed[64 + 3]) == ((("features.3.expand1x1", 3),), (("features.3.expand3x3", 3),))
    assert trace(network("digits")).inputs["fc1"][50] == (("conv2", 1),)


def test_the_strongest_inputs_of_a_filter_come_first() -> None:
    net = network("digits")
    weight = net.module.get_submodule("fc1").weight.detach().numpy()[9].reshape(32, 7, 7)
    [(origin, sources)] = kernels_of(net, trace(net), "fc1", 9)
    assert origin == ("fc1", 9)
    norms = np.linalg.norm(weight.reshape(32, 49), axis=1)
    assert [source.origins for source in sources] == [(("conv2", c),) for c in np.argsort(-norms).tolist()]
    assert sources[0].norm == pytest.approx(norms.max(), rel=1e-6)
    assert np.array_equal(sources[0].kernel, weight[norms.argmax()])
    assert sources[0].total == pytest.approx(float(weight[norms.argmax()].sum()), rel=1e-4)
    [(origin, _)] = kernels_of(net, trace(net), "relu2", 4)  # a rectifier's filter is made by the convolution before
    assert origin == ("conv2", 4)


def test_groups_see_their_own_inputs_only() -> None:
    net = network("mobilenet_v2")
    [(_, sources)] = kernels_of(net, trace(net), "features.2.conv.1.0", 11)
    assert [source.origins for source in sources] == [(("features.2.conv.0.0", 11),)]


def test_what_is_not_known_is_said() -> None:
    with pytest.raises(LayerError, match="not known"):
        kernels_of(network("digits"), Wiring(), "conv1", 0)
