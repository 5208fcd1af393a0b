"""A flag for every parameter of a spec, made from its metadata."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from vizcore.errors import SpecError
from vizcore.params import Param
from vizcore.spec import PARAMS

SHORT = {"parameterization": ("--image",)}  # what people call it
PANELS = {"look": "Look", "transforms": "Transforms", "penalties": "Penalties", "image": "Image and optimizer",
          "generator": "Generator"}  # fmt: skip


def name(param: Param) -> str:
    """``blur_every`` -> ``--blur-every``."""
    return "--" + param.name.replace("_", "-")


def with_parameters(command: Callable[..., Any], parameters: Mapping[str, Param] = PARAMS) -> Callable[..., Any]:
    """``command``, whose last argument is ``**parameters``, with a flag for each parameter in its place."""
    groups = PANELS if parameters is PARAMS else {p.group for p in parameters.values()}
    shown = {key: name(p) for key, p in parameters.items() if p.group in groups}
    return with_flags(command, shown, parameters)


def with_flags(
    command: Callable[..., Any], flags: Mapping[str, str], parameters: Mapping[str, Param] = PARAMS
) -> Callable[..., Any]:
    """The same with flags of these names, by the names of their parameters."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    made = [
        inspect.Parameter(
            key,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[_kind(parameters[key]), _option(parameters[key], flag)],
        )
        for key, flag in flags.items()
    ]
    command.__signature__ = signature.replace(parameters=own + made)  # type: ignore[attr-defined]
    return command


def chosen(pairs: list[str], flags: dict[str, Any]) -> dict[str, Any]:
    """The values that were given, by ``--set knob=value`` or by their own flags (which win).

    Raises:
        SpecError: something other than ``knob=value``.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise SpecError(f"--set has {pair[:40]!r}, which is no knob=value.", "Write for example --set blur=0.5.")
        values[key.strip().replace("-", "_")] = value.strip()
    return values | {key: value for key, value in flags.items() if value is not None}


def _kind(param: Param) -> Any:
    # Text, not a number: the range is checked, and explained, by the parameter itself.
    return bool | None if param.kind == "bool" else str | None


def _option(param: Param, flag: str) -> Any:
    names = [f"{flag}/--no-{flag[2:]}"] if param.kind == "bool" else [flag, *SHORT.get(param.name, ())]
    return typer.Option(
        *names,
        help=f"{param.help} ({bounds(param)})",
        metavar=metavar(param),
        rich_help_panel=PANELS.get(param.group, param.group),
    )


def metavar(param: Param) -> str | None:
    """What stands for the value in the help: the unit, or the kind of number."""
    if param.kind == "bool":
        return None
    return {"px": "PX", "%": "PERCENT", "°": "DEGREES"}.get(
        param.unit, {"int": "N", "float": "X"}.get(param.kind, "NAME")
    )


def bounds(param: Param) -> str:
    """``16 to 512``, or the choices."""
    if param.kind == "bool":
        return "yes or no"
    if param.kind == "choice":
        return ", ".join(param.choices)
    return f"{param.minimum:.10g} to {param.maximum:.10g}"
