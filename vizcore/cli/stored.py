"""Runs that are named on the command line, and work on them with a bar."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from vizcore.cli import bars

if TYPE_CHECKING:
    from vizcore.history import RunReader

Trust = Annotated[
    bool, typer.Option("--trust", help="Run the function package.module:factory that the run or recipe names.")
]
T = TypeVar("T")


@contextlib.contextmanager
def opened(run: str) -> Iterator[RunReader]:
    """A reader of a run in the library, or of a run file."""
    from vizcore.history import RunReader
    from vizcore.history.schema import SUFFIX
    from vizcore.runs import Library

    path = Path(run)
    if path.suffix != SUFFIX and not path.is_file():
        path = Library().path(run)
    with RunReader(path) as reader:
        yield reader


def finish(title: str, work: Generator[tuple[int, int], None, T]) -> T:
    """The result of work that tells how far it is, with a bar."""
    with contextlib.closing(work):
        try:
            done, total = next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        with bars.steps(title, total) as advance:
            while True:
                advance(done)
                try:
                    done, total = next(work)
                except StopIteration as end:
                    result = end.value
                    return result
