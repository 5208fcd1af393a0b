"""Results and errors on the terminal: text for people, one JSON object for machines."""

from __future__ import annotations

import errno
import json as json_module
import math
import sys
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from vizcore.errors import StorageError, VizcoreError

WIDE = 240  # characters of a line in a pipe or file, where nothing need be folded
EXPLAINED = 2  # exit code of an error with a sentence and a remedy
INTERRUPTED = 130  # 128 + SIGINT, as shells count


@dataclass(frozen=True)
class Result:
    """What a command found: ``data`` for machines, ``view`` for people, and the exit code."""

    data: dict[str, Any]
    view: RenderableType
    code: int = 0


class UsageError(VizcoreError):
    """A command line that cannot be understood."""


def people() -> Console:
    """Where progress and errors go; never standard output."""
    return Console(stderr=True, highlight=False)


def show(result: Result, json: bool) -> int:
    """Print a result; returns its exit code."""
    if json and result.data:
        sys.stdout.write(json_module.dumps(plain(result.data), allow_nan=False) + "\n")
    elif result.view:
        out = Console(highlight=False)
        if not out.is_terminal:
            out.width = WIDE
        with out.capture() as text:  # rich would answer a closed pipe by leaving with an error
            out.print(result.view)
        sys.stdout.write(text.get())
    sys.stdout.flush()
    return result.code


def fail(error: VizcoreError, json: bool, code: int = EXPLAINED) -> int:
    """Print an error without a traceback; returns the exit code."""
    if json:
        sys.stdout.write(json_module.dumps({"error": error.to_dict()}) + "\n")
        sys.stdout.flush()
    else:
        people().print(f"[bold red]error[/] {escape(error.message)}", soft_wrap=True)
        if error.hint:
            people().print(f"      {escape(error.hint)}", soft_wrap=True)
    return code


def usage(error: Exception) -> UsageError:
    """A command line that typer refused, in the words of typer."""
    context = getattr(error, "ctx", None)
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    command = context.command_path if context is not None else "vizcore"
    sentence = message.strip().rstrip(".") or "A command is missing"
    return UsageError(f"{sentence}.", f"See {command} --help.")


def from_os(error: OSError) -> StorageError:
    """The system's refusal as a sentence, without a path."""
    reason = {
        errno.ENOSPC: ("The disk is full.", "Free some space, or choose another folder."),
        errno.EDQUOT: ("The disk quota is used up.", "Free some space, or choose another folder."),
        errno.EACCES: ("There is no right to read or write there.", "Choose a folder of your own."),
        errno.EPERM: ("There is no right to read or write there.", "Choose a folder of your own."),
        errno.EROFS: ("The disk is read-only.", "Choose another folder."),
        errno.ENOTDIR: ("The folder is a file.", "Choose another folder."),
        errno.EEXIST: ("The folder is a file.", "Choose another folder."),
        errno.EISDIR: ("The file is a folder.", "Choose another name."),
    }
    unknown = (f"The system refused: {error.strerror or type(error).__name__}.", "Choose another folder.")
    return StorageError(*reason.get(error.errno or 0, unknown))


def table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    """An empty table; the columns named in ``numbers`` are aligned to the right."""
    result = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        result.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return result


def cell(value: object) -> str:
    """A value as a table shows it; text of users and files is never markup."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def size(count: int) -> str:
    """A number of bytes for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: tuples as lists, numbers of numpy as numbers, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
