"""``vizcore serve``: Bokeh's own server command with our addresses and safe defaults."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO
from urllib.parse import urlsplit

from bokeh.command.subcommand import Argument
from bokeh.command.subcommands.serve import Serve
from bokeh.settings import settings
from bokeh.util.token import generate_secret_key

from app.routes import SERVED
from vizcore.errors import ModelError, VizcoreError

APP = Path(__file__).resolve().parent
DAY = 24 * 60 * 60
INTERRUPTED = 130  # exit code, as shells have it

# A token is checked each time a page connects: a laptop that slept over the weekend still may.
DEFAULTS = {
    "address": "127.0.0.1",
    "session_token_expiration": 7 * DAY,
    "unused_session_lifetime": 60_000,
    "check_unused_sessions": 10_000,
    "log_level": "warning",
}


_COMMON = ("--port", "--address", "--show", "--prefix", "--allow-websocket-origin", "--use-xheaders", "--auth-module")
# For applications of one's own, or without an effect here.
_UNFIT = ("files", "--args", "--dev", "--glob", "--index", "--disable-index", "--disable-index-redirect")
_THEIRS = {entry[0]: entry for entry in Serve.args if entry[0] not in _UNFIT}


class Dashboard(Serve):
    """``bokeh serve`` for this one application: what is needed often comes first, and its own options."""

    name = "serve"
    help = "Open the dashboard"
    args = (
        *(_THEIRS[name] for name in _COMMON),
        ("--model", Argument(metavar="MODEL", default=None, help="The network that the page shows first")),
        ("--arch", Argument(metavar="NAME", default=None, help="What is in it, if --model is a weights file")),
        ("--device", Argument(metavar="DEVICE", default=None, help="auto, cpu, cuda or mps")),
        ("--home", Argument(metavar="FOLDER", default=None, help="Where runs and weights are kept")),
        (
            "--pictures",
            Argument(
                metavar="FOLDER",
                action="append",
                default=None,
                help="A folder of pictures that pages may open, also from other machines",
            ),
        ),
        (
            "--atlas",
            Argument(metavar="FOLDER", action="append", default=None, help="An atlas that the page Atlas shows"),
        ),
        ("--open", Argument(action="store_true", help="Open the page in a browser, as --show does")),
        ("--no-open", Argument(action="store_true", help="Open no browser (the default)")),
        ("--insecure", Argument(action="store_true", help="Let anybody who reaches a public address use the page")),
        ("--json", Argument(action="store_true", help="Say address and process as one JSON object, for machines")),
        *(entry for name, entry in _THEIRS.items() if name not in _COMMON),
    )
    _json = False

    def customize_kwargs(self, args: argparse.Namespace, server_kwargs: dict[str, Any]) -> dict[str, Any]:
        """Add our addresses, and sign session ids so that nobody can be talked into sharing one."""
        self._json = args.json
        if args.session_ids is None and not server_kwargs["sign_sessions"]:
            server_kwargs |= {"sign_sessions": True, "secret_key": generate_secret_key().encode()}
        return {**server_kwargs, "extra_patterns": [*SERVED]}

    def customize_server(self, server: Any) -> Any:
        """Say where the page is, when the port is open."""
        host = server.address if server.address not in (None, "", "0.0.0.0", "::") else "localhost"
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{server.port}{server.prefix}/app"
        said = (
            json.dumps({"address": address, "pid": os.getpid()})
            if self._json
            else f"vizcore is at {address} (Ctrl-C ends it)"
        )
        sys.stdout.write(said + "\n")
        sys.stdout.flush()
        return server


class Parser(argparse.ArgumentParser):
    """Arguments whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            VizcoreError: always.
        """
        raise VizcoreError(f"{message[:1].upper()}{message[1:]}.", "See vizcore serve --help.")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted; returns the exit code: 2 with one sentence for what cannot be."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        prog="vizcore serve", usage="vizcore serve [options]", description="Open the dashboard.",
        epilog="What comes after --json is seldom needed: it is of Bokeh's server.",
    )  # fmt: skip
    command = Dashboard(parser)
    theirs = argparse.ArgumentParser()
    Serve(theirs)  # it reads all of its own arguments
    parser.set_defaults(**{**vars(theirs.parse_args([])), **DEFAULTS})
    try:
        args = parser.parse_args(given)
        args.files = [str(APP)]
        prepare(args)
    except VizcoreError as error:
        if "--json" in given:
            sys.stdout.write(json.dumps({"error": error.to_dict()}) + "\n")
        else:
            sys.stderr.write(f"{error}\n")
        return 2
    with contextlib.redirect_stdout(Unheard(sys.stdout)):
        try:
            command.invoke(args)
        except KeyboardInterrupt:  # once more, while it ended: at most five seconds are left for the engine's files
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return INTERRUPTED
    return 0


class Unheard:
    """A stream whose reader may have gone: Bokeh prints when it is told to end, and must not fail there.

    Args:
        stream: what is written to, as long as that is possible; ``None`` for nothing.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write at once; an end of the pipe is no error."""
        with contextlib.suppress(ValueError):  # closed
            try:
                if self._stream is not None:
                    self._stream.write(text)
                    self._stream.flush()
            except OSError:
                with contextlib.suppress(OSError):  # what waits in the buffer goes nowhere, when the process ends too
                    os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())  # type: ignore[union-attr]
                self._stream = None
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""


def prepare(args: argparse.Namespace) -> None:
    """Check what was asked for and pass it on to where it is needed.

    Raises:
        VizcoreError: a public address without protection, a port in use, several processes, a missing weights file.
    """
    if args.arch and not Path(args.model or "").is_file():
        raise ModelError(
            f"There is no weights file {Path(args.model or '').name!r} for --arch.", "Name it with --model FILE."
        )
    args.show = (args.show or args.open) and not args.no_open
    if args.num_procs != 1:
        raise VizcoreError(
            "The dashboard is one process.", "Leave out --num-procs; the engine uses all cores by itself."
        )
    if args.unix_socket is None:
        if is_public(args.address) and not (args.insecure or settings.auth_module(args.auth_module)):
            raise VizcoreError(
                f"{args.address or 'An empty address'} is reached from other machines, and nothing protects the page.",
                "Use --auth-module FILE, or --insecure if everybody there may use it.",
            )
        args.port = free_port(args.address, args.port)
        if not args.allow_websocket_origin:
            hosts = dict.fromkeys(["localhost", "127.0.0.1", *([args.address] if _concrete(args.address) else [])])
            args.allow_websocket_origin = [f"{host}:{args.port}" for host in hosts]
            if is_public(args.address):
                sys.stderr.write(
                    "Browsers that use another name than localhost need: --allow-websocket-origin NAME:PORT\n"
                )
    for name in ("model", "arch", "device", "home"):
        if getattr(args, name):
            os.environ[f"VIZCORE_{name.upper()}"] = getattr(args, name)
    folders = [*(args.pictures or ()), *filter(None, os.environ.get("VIZCORE_PICTURES", "").split(os.pathsep))]
    if only_here(args):
        folders.append("*")  # whoever sits at this machine may open what is on it
    os.environ["VIZCORE_PICTURES"] = os.pathsep.join(dict.fromkeys(folders))
    atlases = [*(args.atlas or ()), *filter(None, os.environ.get("VIZCORE_ATLASES", "").split(os.pathsep))]
    if atlases:
        os.environ["VIZCORE_ATLASES"] = os.pathsep.join(dict.fromkeys(str(Path(one).absolute()) for one in atlases))


def only_here(args: argparse.Namespace) -> bool:
    """Whether the page is for this machine alone: it listens here, and no proxy lets others in."""
    if args.unix_socket is not None or is_public(args.address) or args.use_xheaders:
        return False
    return not any(is_public(urlsplit(f"//{origin}").hostname) for origin in args.allow_websocket_origin or ())


def is_public(address: str | None) -> bool:
    """Whether other machines reach ``address``; an empty one means all."""
    if not address:
        return True
    if address == "localhost":
        return False
    try:
        return not ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True


def _concrete(address: str | None) -> bool:
    return bool(address) and address not in ("0.0.0.0", "::")


def free_port(address: str | None, port: int) -> int:
    """``port`` if nobody listens there, any free one for 0.

    Raises:
        VizcoreError: the port is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if address and ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address or "", port))
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno == socket.EAI_NONAME:
                raise VizcoreError(f"There is no address {address}.", "Use 127.0.0.1.") from error
            raise VizcoreError(
                f"Port {port} of {address or 'this machine'} cannot be had; something else may listen there.",
                "Use another --port, or --port 0 for any that is free.",
            ) from error
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
