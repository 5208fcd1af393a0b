"""The command ``vizcore``.

::

    __init__   main(): arguments in, one result or one error out; the exit code
    commands   what the commands take, and models, layers, runs
    flags      a flag for every parameter of a spec, made from its metadata
    render     vizcore render: from a spec to pictures on disk
    looking    what look, top and weights take; the modules of these names carry them out
    arguments  arguments that several commands share
    console    results and errors, as text for people or as one JSON object for machines
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.metadata import entry_points

from vizcore.cli import console
from vizcore.errors import VizcoreError


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns 0, 2 (an error that was explained), 130 (Ctrl-C), or 1 (a bug, with its traceback).

    With ``--json``, standard output gets exactly one object; whatever else would be printed there, by a user's
    factory for instance, goes to standard error.
    """
    args = sys.argv[1:] if argv is None else list(argv)
    json = "--json" in args
    try:
        if args[:1] == ["serve"]:
            return serve(args[1:])
        with contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext():
            result = run(args)
        return console.show(result, json)
    except VizcoreError as error:
        return console.fail(error, json)
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # "vizcore models | head" is no error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still in the buffer
            return 0
        return console.fail(console.from_os(error), json)
    except KeyboardInterrupt:
        return console.fail(VizcoreError("Interrupted.", "Start it again."), json, code=console.INTERRUPTED)
    except Exception as error:
        if json:
            console.fail(VizcoreError(f"{type(error).__name__}: {error}", "This is a bug in vizcore."), json)
        raise


def run(args: list[str]) -> console.Result:
    """The result of one command line; usage errors become :class:`console.UsageError`."""
    import typer

    from vizcore.cli.commands import app

    try:
        result = typer.main.get_command(app)(
            args or ["--help"], prog_name="vizcore", standalone_mode=False, obj=tuple(args)
        )
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        if isinstance(error, typer.BadParameter.__mro__[1]):  # UsageError, which typer does not export
            raise console.usage(error) from None
        raise
    return result if isinstance(result, console.Result) else console.Result({}, "", code=int(result or 0))


def serve(args: list[str]) -> int:
    """``vizcore serve``: the dashboard's own command, found by name, with its arguments untouched."""
    for entry in entry_points(group="vizcore.commands", name="serve"):
        try:
            command = entry.load()
        except ImportError as error:
            hint = f"Install vizcore again, with its dependencies ({error.name or error})."
            raise VizcoreError("The dashboard cannot be loaded.", hint) from error
        return int(command(args) or 0)
    raise VizcoreError("The dashboard is not installed.", "Run pip install vizcore, or make install in a checkout.")
