"""The commands of the engine's handle for many real pictures.  No torch here."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

from vizcore.engine.jobs import Job
from vizcore.engine.looks import Looks
from vizcore.engine.protocol import Place


class Patches(Looks):
    """What a page asks of folders of pictures; :class:`vizcore.engine.Engine` is one."""

    def known(self, model: str = "", layer: str = "", arch: str | None = None) -> Future[list[dict[str, Any]]]:
        """Which pictures were looked through, by a network's layer or by any, the newest first.

        Returns:
            model, weights, layer, size, source (folder or zip), only (text in the names), pictures, done.
        """
        return self._send("known", model=model, arch=arch, layer=layer)

    def scan(self, place: Place) -> Job[dict[str, Any]]:
        """Look through pictures for those that excite each channel most, or go on where it was left; ``progress``
        counts pictures, and what is known when it is given up is kept.

        Returns:
            done, pictures, skipped.

        Raises:
            PictureError: there are none, or not one can be read.
            ModelError, LayerError, SpecError: no such network or layer, or one without channels.
        """
        return self._job("scan", **asdict(place))

    def scanned(self, place: Place, *, again: bool = True) -> Future[dict[str, Any]]:
        """What is known by now (:func:`vizcore.engine.patching.summary`); nothing is computed.

        Args:
            again: list the folder anew; else as it was.

        Raises: as :meth:`scan`.
        """
        return self._send("scanned", again=again, **asdict(place))

    def tile(self, place: Place, channel: int) -> Future[bytes]:
        """The nine patches of a channel, 3 by 3, as a WebP.  Raises: as :meth:`scan`."""
        return self._send("tile", channel=channel, **asdict(place))

    def top(self, place: Place, channel: int) -> Job[dict[str, Any]]:
        """The nine patches of a channel, large, each with its deconvolution.

        Returns:
            patches (name, label, value, reproduced, y, x, box, and the PNGs pixels and projection, or None), why (there
            are no projections), intercepted, histogram (of ``bins`` bins from ``low`` to ``high``).

        Raises: as :meth:`scan`.
        """
        return self._job("top", channel=channel, **asdict(place))

    def original(self, source: str, only: str, name: str) -> Future[dict[str, Any]]:
        """A picture's file as it is: ``data`` and its media ``type``.  Raises PictureError."""
        return self._send("original", source=source, only=only, name=name)

    def natural(self, run: str, step: int, channel: int, source: str, only: str = "") -> Job[dict[str, Any]]:
        """What real pictures say of a stored picture of a channel (:mod:`vizcore.look.naturals`).

        Returns:
            done, pictures; highest: the activation of the best real patch; relative: that of this picture, as a share
            of it, or None; held_out: shares by the names of the transforms; paths (layer, synthetic, natural).

        Raises: as :meth:`scan`; HistoryError: the picture was not kept.
        """
        return self._job("natural", run=run, step=step, channel=channel, source=source, only=only)
