"""Everything that vizcore raises on purpose.

::

    VizcoreError                 one sentence for the user, and a hint: what to do
    ├── SpecError                a run that cannot be: parameter, channel list, size, objective
    ├── ModelError               a network that cannot be had: unknown name, wrong weights, refused file
    │   └── DownloadError        weights that could not be fetched
    ├── GeneratorError           a generator that cannot be had, or does not fit the network
    ├── LayerError               a layer or channel that the network does not have
    ├── HistoryError             a run file that is missing, damaged, foreign or newer
    ├── StorageError             no space or no right to write
    ├── ExportError              a picture or recipe that cannot be written or read
    ├── PictureError             a picture, folder or video of the user that cannot be looked at
    ├── TrainingError            a training that cannot begin or go on
    └── EngineError              the engine is gone, out of memory, or refused a command
"""

from __future__ import annotations


class VizcoreError(Exception):
    """An error with a remedy.

    Args:
        message: one sentence that says what is wrong, without a path of the server in it.
        hint: one sentence that says what to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def kind(self) -> str:
        """The name of the class, as machines read it (``"LayerError"``)."""
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[type[VizcoreError], tuple[str, str]]:
        return type(self), (self.message, self.hint)

    def to_dict(self) -> dict[str, str]:
        """``kind``, ``message`` and ``hint``, as ``--json`` prints them and pipes carry them."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint}


class SpecError(VizcoreError):
    """A run that cannot be: a parameter, a channel list, a size, an objective."""


class ModelError(VizcoreError):
    """A network that cannot be had: an unknown name, weights that do not fit, a file that is refused."""


class DownloadError(ModelError):
    """Weights that could not be fetched."""


class GeneratorError(VizcoreError):
    """A generator that cannot be had: an unknown name, a damaged one, pictures that do not fit the network."""


class LayerError(VizcoreError):
    """A layer or a channel that the network does not have."""


class HistoryError(VizcoreError):
    """A run file that is missing, damaged, foreign, or of a newer version."""


class StorageError(VizcoreError):
    """No space, or no right, to write."""


class ExportError(VizcoreError):
    """A picture or recipe that cannot be written or read."""


class PictureError(VizcoreError):
    """A picture, folder, data set or video of the user that cannot be looked at."""


class TrainingError(VizcoreError):
    """A training that cannot begin or go on."""


class EngineError(VizcoreError):
    """The engine is gone, out of memory, or refused a command."""


_KINDS = (
    SpecError, ModelError, DownloadError, GeneratorError, LayerError, HistoryError, StorageError, ExportError,
    PictureError, TrainingError, EngineError,
)  # fmt: skip
_BY_KIND = {cls.__name__: cls for cls in _KINDS}


def from_dict(data: dict[str, str]) -> VizcoreError:
    """The error that :meth:`VizcoreError.to_dict` described; an unknown kind becomes a plain one."""
    return _BY_KIND.get(data.get("kind", ""), VizcoreError)(data.get("message", "unknown error"), data.get("hint", ""))
