"""The networks: bundled, torchvision's, timm's, from a file, from a function.

``load`` has the function of that name, which makes one.  ``card`` says what a network takes and gives, and imports no
torch; ``weights`` reads files that are not trusted; ``download`` fetches; ``architectures`` and ``nets`` are the
networks without their weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vizcore.zoo.card import Card, bundled, default_size

if TYPE_CHECKING:
    from vizcore.zoo.load import ModelEntry, Network, models

__all__ = ["Card", "ModelEntry", "Network", "bundled", "default_size", "models"]


def __getattr__(name: str) -> Any:
    """What needs torch is imported when it is asked for, so that the page can read cards without it."""
    if name in ("ModelEntry", "Network", "models"):
        from vizcore.zoo import load as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
