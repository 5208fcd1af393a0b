"""The commands of the engine's handle that look at pictures and weights.  No torch here."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import Future
from typing import Any

from vizcore.engine.jobs import Job


class Looks:
    """What a page asks of networks besides runs; :class:`vizcore.engine.Engine` is one."""

    @abstractmethod
    def _send(self, command: str, future: Future[Any] | None = None, /, **arguments: Any) -> Future[Any]: ...

    def _job(self, command: str, **arguments: Any) -> Job[dict[str, Any]]:
        job: Job[dict[str, Any]] = Job()
        self._send(command, job, **arguments)
        return job

    def methods(self, model: str, arch: str | None = None) -> Future[list[dict[str, str]]]:
        """The backward views: name, label, help, paper, and why this network cannot be asked by it, or empty."""
        return self._send("methods", model=model, arch=arch)

    def keep(self, data: bytes) -> Future[dict[str, Any]]:
        """Keep the picture in a file's bytes for specs to name: its name, width and height.

        Raises:
            PictureError: it cannot be read.
        """
        return self._send("keep", data=data)

    def maps(self, data: bytes, model: str, layer: str, arch: str | None = None) -> Future[dict[str, Any]]:
        """What a layer makes of the picture in a file's bytes.

        Returns:
            values (float16 of ``shape`` [C, h, w], to be multiplied by ``scale``; each stands for ``pool`` by ``pool``
            positions of the maps, whose ``size`` is [H, W]), peaks [C], classes [[name, probability]], seconds.

        Raises:
            PictureError: it cannot be read.
            ModelError, LayerError: no such network or layer, or one without maps.
        """
        return self._send("maps", data=data, model=model, arch=arch, layer=layer)

    def strip(self, data: bytes, model: str, arch: str | None = None) -> Future[list[dict[str, Any]]]:
        """All layers at a glance: the mean magnitude, packed as :meth:`maps`; layer, kind, strongest channel, peak.

        Raises: as :meth:`maps`.
        """
        return self._send("strip", data=data, model=model, arch=arch)

    def project(
        self, data: bytes, model: str, layer: str, channel: int, method: str, arch: str | None = None,
        share: float = 0.2, place: tuple[int, int] | None = None,
    ) -> Job[dict[str, Any]]:  # fmt: skip
        """What in the picture a unit answers to; the runs have their turns meanwhile.

        Args:
            layer: empty for a class.
            share: of the pixels that stay in the focus.
            place: (y, x) of a neuron; the whole channel without.

        Returns:
            panes (original, heat, focus, relevance: PNGs), score, seconds, intercepted, note, facts.

        Raises: as :meth:`maps`; LayerError: the method does not support the network or the unit; it says why.
        """
        return self._job("project", data=data, model=model, arch=arch, layer=layer, channel=channel, method=method,
                         share=share, place=place)  # fmt: skip

    def check(
        self, data: bytes, model: str, layer: str, channel: int, method: str, arch: str | None = None,
        place: tuple[int, int] | None = None,
    ) -> Job[dict[str, Any]]:  # fmt: skip
        """Whether a method's answer depends on what was learnt: layers get random weights, from the unit down.

        ``progress`` of the job counts the points.

        Returns:
            points [{layer, absolute, signed, failed}] (see :class:`vizcore.look.sanity.Point`), warning, seconds.

        Raises: as :meth:`project`.
        """
        return self._job("check", data=data, model=model, arch=arch, layer=layer, channel=channel, method=method,
                         place=place)  # fmt: skip

    def column(
        self, data: bytes, model: str, method: str, depth: str, arch: str | None = None, share: float = 0.2
    ) -> Job[dict[str, Any]]:
        """What one network says of a picture at a depth, to stand beside others.

        Args:
            method: ``"activations"`` or one of :meth:`methods`.
            depth: ``"first"``, ``"middle"``, ``"last"`` (convolution) or ``"class"``.

        Returns:
            layer, channel, unit (the name of a class, or empty), channels (of the layer), reason (why there is no
            answer, or empty), classes (for the depth class); then the answer of :meth:`project`, or for activations
            maps packed as :meth:`maps` and ``order``, the channel of each.

        Raises: as :meth:`maps`; SpecError: no such depth or method.
        """
        return self._job("column", data=data, model=model, arch=arch, method=method, depth=depth, share=share)

    def kernels(
        self, model: str, layer: str, arch: str | None = None, first: int = 0, skip: int = 0
    ) -> Future[dict[str, Any]]:
        """A block of a layer's weights.

        Args:
            layer: empty for the first one that has weights.
            first: filter that the block begins with.
            skip: inputs that are left out before the block.

        Returns:
            values (float16 of ``shape`` [filters, inputs, h, w], to be multiplied by ``scale``), layer, pictures
            (whether they are in the colours of pictures), whole (the shape of all), first, skip, block (filters and
            inputs of a whole block), top (the largest magnitude of all), norms (of the block's filters, over all
            inputs), pairs (of near-duplicates or negatives), alike [[filter, filter, cosine]] (the first of them).

        Raises:
            ModelError, LayerError: no such network, or no weights there.
        """
        return self._send("kernels", model=model, arch=arch, layer=layer, first=first, skip=skip)

    def inspect(self, model: str, arch: str | None = None) -> Job[dict[str, Any]]:
        """What can be seen to be wrong with a network's filters; the runs have their turns meanwhile.

        Returns:
            kinds (of all findings that there are), findings [{kind, layer, text, filters, values, pairs}] (see
            :class:`vizcore.look.report.Finding`), channels {layer: how many, of the layers in findings}, layers and
            filters (how many have weights), pictures (made-up ones that it was looked at with), seconds.

        Raises:
            ModelError: no such network.
        """
        return self._job("inspect", model=model, arch=arch)

    def carry(
        self, model: str, layer: str, channel: int, arch: str | None = None, data: bytes = b""
    ) -> Job[dict[str, Any]]:
        """A filter carried back to pixels through the transposed weights: :func:`vizcore.look.weights.projection`.

        Args:
            data: of a picture, whose map of the filter is carried back; without, the weights alone, from the middle of
                the map to the pixels that it sees.

        Returns:
            values (float16 of ``shape`` [1, colours, h, w], to be multiplied by ``scale``), top, channel, seconds.

        Raises: as :meth:`maps`; LayerError: it depends on a picture.
        """
        return self._job("carry", model=model, arch=arch, layer=layer, channel=channel, data=data)
