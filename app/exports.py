"""What can be taken along from a run, and what can be brought back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vizcore import animation, archive, curves
from vizcore.errors import ExportError
from vizcore.export import Recipe, read_recipe
from vizcore.runs import Library

FILMS = ("webp", "gif", "mp4", "webm")
TABLES = ("csv", "parquet")
PNG = b"\x89PNG\r\n\x1a\n"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Wish:
    """What is to be exported.

    Args:
        form: one of :data:`FILMS`, :data:`TABLES`, or ``"archive"``.
        channel: of a film; all filters if not given.
        first, last: steps of a film.
        fps, loop: of a film.
    """

    run: str
    form: str
    channel: int | None = None
    first: int = 0
    last: int = 2**31
    fps: int = 10
    loop: bool = True

    @property
    def name(self) -> str:
        """The file's name."""
        if self.form == "archive":
            return f"vizcore-{self.run}.zip"
        if self.form in TABLES:
            return f"vizcore-{self.run}.{self.form}"
        which = "all" if self.channel is None else str(self.channel)
        return f"vizcore-{self.run}-{which}.{self.form}"


def make(library: Library, wish: Wish, path: Path, progress: Progress) -> Path:
    """Write what is wished for to ``path``, whole or not at all.

    Raises:
        VizcoreError: it cannot be.
    """
    if wish.form == "archive":
        archive.save(path, library, [wish.run], progress)
        return path
    if wish.form not in (*FILMS, *TABLES):
        raise ExportError(f"Nothing is exported as {wish.form[:20]!r}.", "Choose from the menu.")
    with library.open(wish.run) as reader:
        if wish.form in TABLES:
            curves.save(path, reader)
        else:
            steps = [int(step) for step in reader.steps() if wish.first <= step <= wish.last]
            channels = () if wish.channel is None else (wish.channel,)
            film = animation.Film(steps, channels, fps=min(max(wish.fps, 1), animation.FPS), loop=wish.loop)
            animation.save(path, reader, film, progress)
    return path


@dataclass(frozen=True)
class Brought:
    """What an opened file was.

    Args:
        recipe: of a PNG.
        run: the run to show: of the PNG if the library has it, or the last one of an archive.
        runs: ids of an archive's runs here.
        fresh: how many of them are new.
    """

    recipe: Recipe | None = None
    run: str | None = None
    runs: tuple[str, ...] = ()
    fresh: int = 0


def bring(library: Library, path: Path, progress: Progress) -> Brought:
    """Open a PNG, an archive or a run file.

    Raises:
        VizcoreError: it is none, or it is damaged, forged or newer; the library is as it was.
    """
    with path.open("rb") as stream:
        head = stream.read(len(PNG))
    if not head:
        raise ExportError("The file is empty.", "Choose a PNG or an archive that vizcore wrote.")
    if head == PNG:
        recipe = read_recipe(path)
        return Brought(recipe, library.find(recipe))
    brought = archive.load(path, library, progress)
    return Brought(None, brought[-1].id, tuple(one.id for one in brought), sum(one.new for one in brought))
