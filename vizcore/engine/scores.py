"""The commands of the engine's handle for the ruler.  No torch here."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vizcore.engine.jobs import Job
from vizcore.engine.patches import Patches
from vizcore.engine.protocol import Comparison


class Scores(Patches):
    """What a page asks of :mod:`vizcore.ruler`; :class:`vizcore.engine.Engine` is one."""

    def measure(self, comparison: Comparison, method: str) -> Job[dict[str, Any]]:
        """Hold the pictures of one method to the ruler; the runs have their turns meanwhile.

        What all methods share, such as what the units make of the real pictures, is kept for the next one.

        Args:
            method: of :data:`vizcore.rulertable.METHODS`, or ``"real"``: the pictures that excite each unit most.

        Returns:
            lengths (fields of a :class:`vizcore.rulertable.Length` for each unit), tiles (WebP: a column for each unit,
            a row for each seed, as large as ``side`` px each), real (how many pictures), pictures (what they are).

        Raises:
            PictureError, DownloadError: the real pictures cannot be had.
            ModelError, LayerError, SpecError: no such network, unit or generator, or they do not go together.
        """
        return self._job("measure", comparison=asdict(comparison), method=method)
