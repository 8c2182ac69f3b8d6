"""What every command does around its work: logs, progress, one sentence per error."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fhir_adapter.errors import AdapterError, InternalFault

_LOG = logging.getLogger("fhir_adapter")
_LOG.addHandler(logging.NullHandler())
T = TypeVar("T")


_WIDE = 140


def _columns() -> int:
    """COLUMNS, where somebody has set it; 0 where nobody has."""
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if asked.isdecimal() else 0


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Whoever reads only the first lines has what they wanted: that is no failure."""
        _nobody_reads()
        raise SystemExit(0)


def _nobody_reads() -> None:
    """What is still to be written goes nowhere, so that Python has nothing to complain of."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def stderr_console() -> Console:
    """A console on the present stderr."""
    return Console(stderr=True, highlight=False)


def stdout() -> Console:
    """A console on the present stdout; wide enough for tables when it is no terminal."""
    width = None if sys.stdout.isatty() else min(_WIDE, _columns() or _WIDE)
    return _Console(highlight=False, width=width, soft_wrap=False)


@contextmanager
def plainly(*, as_json: bool) -> Generator[None]:
    """Errors of ours become one sentence with a remedy and their exit status; no traceback."""
    try:
        yield
        sys.stdout.flush()  # at the end of the process nobody could hear of a closed pipe
    except AdapterError as error:
        fail(error, as_json=as_json)
    except BrokenPipeError:
        _nobody_reads()
        raise typer.Exit(0) from None
    except (typer.Exit, typer.Abort, KeyboardInterrupt):
        raise
    except Exception as fault:  # noqa: BLE001 - the last line of defence before a user
        # no traceback in the log: the message of a foreign error may quote a value
        fail(
            InternalFault(
                f"{type(fault).__name__} at {_place(fault)}",
                remedy="This is our mistake: please report it with the command you ran.",
            ),
            as_json=as_json,
        )


@contextmanager
def stopped_alike() -> Generator[None]:
    """SIGTERM is Ctrl-C: whoever stops a command in the background gets its orderly end."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _place(fault: BaseException) -> str:
    """File and line of our own code, never a value."""
    last = "an unknown place"
    step = fault.__traceback__
    while step is not None:
        name = Path(step.tb_frame.f_code.co_filename)
        if "fhir_adapter" in name.parts:
            last = f"{name.name}:{step.tb_lineno}"
        step = step.tb_next
    return last


def fail(error: AdapterError, *, as_json: bool = False) -> NoReturn:
    """Say what happened, where, and what to do next; leave with the error's exit status."""
    _LOG.error("%s", error.code)
    if as_json:
        body = {
            "error": error.code,
            "message": error.message,
            "where": error.where,
            "remedy": error.remedy,
        }
        sys.stdout.write(json.dumps(body) + "\n")
    else:
        said = f"[bold red]{error.code}[/]: {escape(str(error))}"
        stderr_console().print(said, soft_wrap=True)
    raise typer.Exit(error.exit_status)


def progress(items: Iterable[T], *, text: str, total: int | None, quiet: bool) -> Iterator[T]:
    """The items, with a bar on stderr where somebody is looking."""
    if quiet or not stderr_console().is_terminal:
        yield from items
        return
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stderr_console(), transient=True) as bar:
        task = bar.add_task(text, total=total)
        for item in items:
            yield item
            bar.advance(task)


def print_json(value: Any) -> None:
    """One JSON document on stdout, keys in their order."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def log(event: str, **counts: object) -> None:
    """One line for operators: counts, codes, durations; never a name, id, date or value."""
    _LOG.info(event, extra=counts)


class _Stderr(logging.Handler):
    """Writes to whatever stderr is now, not to what it was when logging began."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        sys.stderr.write(self.format(record) + "\n")


def log_to_stderr(*, as_json: bool, run: str) -> None:
    """Logs of this package as JSON lines on stderr, each with the run id; people get sentences."""
    if not as_json:
        return
    import structlog  # noqa: PLC0415 - only runs that log pay for it

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=structlog.processors.JSONRenderer(), foreign_pre_chain=shared
        )
    )
    _LOG.handlers[:] = [handler]
    _LOG.propagate = False
    _LOG.setLevel(logging.INFO)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(run=run)
