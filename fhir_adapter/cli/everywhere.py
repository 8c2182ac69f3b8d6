"""What every command takes and does alike: four options, the settings file, one way to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from fhir_adapter.cli.running import plainly
from fhir_adapter.settings import Loaded, Settings, load

Command: TypeAlias = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Everywhere:
    """The options of every command, as they were given."""

    site: str | None = None
    as_of: str | None = None
    as_json: bool = False
    quiet: bool = False
    config: Path | None = None

    def loaded(self, **given: str | None) -> Loaded:
        """Settings in force and where each comes from, the command line on top."""
        return load(command_line={"site": self.site, **given}, file=self.config)

    def settings(self, **given: str | None) -> Settings:
        """Settings in force."""
        return self.loaded(**given).settings


_OPTIONS: dict[str, tuple[Any, object]] = {
    "site": (
        Annotated[
            str | None,
            typer.Option(help="Site file: a name in mappings/sites, or a path ending in .toml."),
        ],
        None,
    ),
    "as_of": (
        Annotated[
            str | None,
            typer.Option(
                "--as-of",
                help="Moment of the question: 2026-11-22 (the end of that day), "
                "2026-11-22T07:40, last-fact, or last-fact:VALUE-SET. Default: now.",
            ),
        ],
        None,
    ),
    "as_json": (
        Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")],
        False,
    ),
    "quiet": (
        Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no remarks.")],
        False,
    ),
    "config": (
        Annotated[
            Path | None,
            typer.Option("--config", help="Settings file. Default: fhir-adapter.toml here."),
        ],
        None,
    ),
}


def everywhere(command: Command) -> Command:
    """The command with the options of every command, handed to it as ``common``.

    An error of ours becomes one sentence with a remedy (or a JSON object) and its exit status.
    """
    own = [
        one for one in signature(command, eval_str=True).parameters.values() if one.name != "common"
    ]
    shared = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _OPTIONS.items()
    ]

    @wraps(command)
    def run(**given: Any) -> None:
        common = Everywhere(**{name: given.pop(name) for name in _OPTIONS})
        with plainly(as_json=common.as_json):
            command(common=common, **given)

    asked = [*own, *shared]
    run.__signature__ = Signature(asked)  # type: ignore[attr-defined] # typer reads it
    run.__annotations__ = {one.name: one.annotation for one in asked}
    return run
