"""Progress for people, on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from vizcore.cli.console import people


class _Rate(TextColumn):
    """Steps per second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} steps/s" if speed else "")


@contextlib.contextmanager
def steps(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function that moves the bar to a step."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=people()) as bar:
        task = bar.add_task(title, total=total)
        yield lambda step: bar.update(task, completed=step)


@contextlib.contextmanager
def download(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A function (bytes so far, bytes in all) that moves the bar, which shows itself when it is first called."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with contextlib.ExitStack() as stack:
        bar = Progress(*columns, console=people(), transient=True)
        task = bar.add_task(title, total=None)

        def progress(done: int, total: int | None) -> None:
            if not bar.live.is_started:
                stack.enter_context(bar)
            bar.update(task, completed=done, total=total)

        yield progress


@contextlib.contextmanager
def counted(title: str) -> Iterator[Callable[[int, int], None]]:
    """A function (done, in all) that moves the bar, which shows itself when it is first called."""
    with contextlib.ExitStack() as stack:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        bar = Progress(*columns, console=people(), transient=True)
        task = bar.add_task(title, total=None)

        def progress(done: int, total: int) -> None:
            if not bar.live.is_started:
                stack.enter_context(bar)
            bar.update(task, completed=done, total=total)

        yield progress
