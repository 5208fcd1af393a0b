"""The reference page, made from the program itself: ``python -m vizcore.reference --write docs/reference.md``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vizcore.params import Param
from vizcore.spec import PARAMS, PRESET_HELP, PRESETS

GROUPS = {
    "look": "Look",
    "transforms": "Transforms",
    "penalties": "Penalties",
    "image": "Image and optimizer",
    "generator": "Generator",
    "dream": "Dream",
}

HEAD = """# Reference

Made from the program by `make docs`; do not edit.

## Parameters

Each is a control of the page, a flag of `vizcore render` (a dream's: of `vizcore dream`), and a name for `--set`.
A *hot* one may be turned while a run goes on and acts before its next step; any other starts a new run.
"""

ENVIRONMENT = {
    "VIZCORE_HOME": "Folder of runs and fetched weights; the platform's user data and cache folders if unset.",
    "VIZCORE_ASSETS": "Folder of the pictures and spectra that runs are made with; `assets` beside the runs if unset.",
    "VIZCORE_RUN_MIB": "Disk space that one run may take, in MiB; 512 if unset.",
    "VIZCORE_LIBRARY_MIB": "Disk space of all runs, above which the oldest may be deleted, in MiB; 4096 if unset.",
    "VIZCORE_THREADS": "Threads of the CPU; all cores if unset.",
    "VIZCORE_MODEL": "The network that the page shows first: a name, or a weights file.",
    "VIZCORE_ARCH": "What is in that weights file: a name such as resnet50.",
    "VIZCORE_DEVICE": "auto, cpu, cuda or mps, for the page.",
    "VIZCORE_ATLASES": "Folders of atlases that the page shows besides those in `atlases` beside the runs, as in PATH.",
    "VIZCORE_GENERATORS": "Folders of generators besides those in `generators` beside the runs, as in PATH.",
    "VIZCORE_PICTURES": "Folders of pictures that pages may open, as in PATH; `*` for any, as on this machine alone.",
}


def reference() -> str:
    """The whole page, in Markdown."""
    parts = [HEAD, *(_group(group) for group in GROUPS), _presets(), _methods(), _commands(), _environment()]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _group(group: str) -> str:
    rows = [
        (f"`{p.name}`", p.label, _value(p.default), _range(p), "hot" if p.hot else "", p.help)
        for p in PARAMS.values()
        if p.group == group
    ]
    return f"### {GROUPS[group]}\n\n" + _table(("name", "label", "default", "range", "", "what it does"), rows)


def _presets() -> str:
    rows = [
        (
            f"`{name}`",
            PRESET_HELP[name],
            ", ".join(f"{key} {_value(value)}" for key, value in values.items()) or "nothing",
        )
        for name, values in PRESETS.items()
    ]
    note = (
        "Papers 1 to 4 are the four regularizations of Yosinski et al. 2015, table 1; DGN-AM is of Nguyen et al. 2016, "
        "the PPGN family of Nguyen et al. 2017.\n"
    )
    return "## Presets\n\n" + note + "\n" + _table(("preset", "what it is", "what differs from the defaults"), rows)


def _methods() -> str:
    from vizcore.look.attribution import METHODS

    note = (
        "For `vizcore look --method`, besides `activations` (the maps of a layer), `strip` (all layers at a glance) "
        "and `all`.\nA method that a network does not support says why.\n"
    )
    rows = [(f"`{name}`", m.label, m.help, m.paper) for name, m in METHODS.items()]
    return "## Methods of looking\n\n" + note + "\n" + _table(("method", "label", "what it shows", "source"), rows)


def _commands() -> str:
    import typer

    from vizcore.cli.commands import app

    lines = [
        "## Commands\n\n`vizcore serve --help` lists the options of the dashboard, which are those of Bokeh's server.\n"
    ]
    for path, command in _walk("vizcore", typer.main.get_command(app)):
        lines += [f"### `{path}`\n", str(command.help).strip() + "\n"]
        rows = [(_usage(p), str(p.help or "")) for p in command.params if p.name != "help"]
        lines += [_table(("argument", "meaning"), rows)] if rows else []
    return "\n".join(lines)


def _walk(path: str, command: Any) -> Iterable[tuple[str, Any]]:
    """The command and those under it, each with the words that call it."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _walk(f"{path} {name}", child)


def _usage(p: Any) -> str:
    if p.param_type_name == "argument":
        return f"`{p.name.upper()}`"
    names = "`, `".join([*p.opts, *p.secondary_opts])
    return f"`{names}{' ' + p.metavar if p.metavar else ''}`"


def _environment() -> str:
    rows = [(f"`{name}`", meaning) for name, meaning in ENVIRONMENT.items()]
    return "## Environment\n\n" + _table(("variable", "meaning"), rows)


def _range(p: Param) -> str:
    if p.kind == "bool":
        return "yes, no"
    if p.kind == "choice":
        return ", ".join(p.choices)
    return f"{p.minimum:.10g} to {p.maximum:.10g} {p.unit}".strip()


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def main(argv: list[str] | None = None) -> int:
    """Print the page, or write it to a file."""
    parser = argparse.ArgumentParser(prog="python -m vizcore.reference", description=main.__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    if args.write:
        args.write.write_text(reference(), encoding="utf-8")
    else:
        sys.stdout.write(reference())
    return 0


if __name__ == "__main__":
    sys.exit(main())
