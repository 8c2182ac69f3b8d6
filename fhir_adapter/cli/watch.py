"""`watch`: a record server's changes, judged as they come; proposals kept up to date."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from fhir_adapter.bootstrap import run_id
from fhir_adapter.bootstrap.watch_loop import Loop
from fhir_adapter.bootstrap.watching import Watching, watching
from fhir_adapter.cli import options
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.running import log, log_to_stderr, print_json, stderr_console, stdout
from fhir_adapter.cli.tables import print_table
from fhir_adapter.cli.written import say_duplicates
from fhir_adapter.errors import ServerFault
from fhir_adapter.watching import LookedAt, Tally, Worked

app: typer.Typer = typer.Typer()


@app.command()
@everywhere
def watch(
    *,
    server: options.Server = None,
    study: options.Studies = None,
    study_server: options.StudyServer = None,
    write_server: options.WriteServer = None,
    once: Annotated[
        bool, typer.Option("--once", help="One look and its work, then end: for a timer.")
    ] = False,
    write: options.Write = False,
    log_json: options.LogJson = False,
    common: Everywhere,
) -> None:
    """Follow a record server: whoever may have changed is read again, judged and kept up to date.

    Changes come from a poll of each type that the server can be polled for, from a census of the
    patients in the house where it cannot, and once a day from a sweep over everybody. `serve
    --watch` does the same and takes the server's notifications. Without --write nothing is written
    and nothing is remembered; with it the ledger keeps the queue, and a killed run loses nothing.
    """
    in_force = common.settings(
        record_server=server, study=study, study_server=study_server, write_server=write_server
    )
    log_to_stderr(as_json=log_json, run=run_id())
    with watching(in_force, write=write, as_of=common.as_of) as made:
        _say_start(made, quiet=common.quiet or common.as_json)
        loop = Loop(watching=made, told=logged)
        seen = _run(loop, once=once)
        waiting = made.waiting()
    if common.as_json:
        print_json(_as_json(loop.tally, made, seen, waiting, write=write))
    else:
        _print(loop.tally, waiting, write=write)
        _say_not_whole(seen)
    say_duplicates(len(loop.tally.doubled))
    if seen.not_whole or loop.tally.errors:
        raise typer.Exit(ServerFault.exit_status)


def _run(loop: Loop, *, once: bool) -> LookedAt:
    with _stopping(loop):
        if once:
            return loop.once()
        loop.forever()
    return LookedAt()


@contextmanager
def _stopping(loop: Loop) -> Generator[None]:
    """Ctrl-C and SIGTERM end the work after the patients that are being worked on."""

    def stop(_number: int, _frame: object) -> None:
        loop.stop()

    before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def logged(what: LookedAt | Worked) -> None:
    """Counts, reasons and codes; never whose record."""
    if isinstance(what, Worked):
        more = {"duplicates": len(what.duplicates)} if what.duplicates else {}
        log("patient-worked", reason=what.reason, changes=what.changes, error=what.error, **more)
        return
    log("looked", marked=what.marked, not_whole=len(what.not_whole))
    for feed, why_not in what.not_whole:
        log("look-not-whole", feed=feed, why_not=why_not)
    for remedy in what.remedies:
        log("look-remedy", remedy=remedy)


def _say_start(made: Watching, *, quiet: bool) -> None:
    if quiet:
        return
    console = stderr_console()
    for line in _start(made):
        console.print(line, markup=False, soft_wrap=True)


def _start(made: Watching) -> Iterator[str]:
    """What is polled, what else finds changes, and what nobody can know yet."""
    able = made.pollable
    yield f"Polled: {', '.join(able.types) or 'nothing'}."
    if able.why_not:
        others = [one.name for one in made.feeds if not one.name.startswith("poll:")]
        found = ", ".join(others)
        yield f"Cannot be polled: {_whys(able.why_not)}. Their changes are found by: {found}."
    if able.not_reached:
        yield f"Not known yet: {_whys(able.not_reached)}. Asked again at each look."
    yield from able.remedies


def _whys(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({why})" for name, why in found.items())


def _print(tally: Tally, waiting: int, *, write: bool) -> None:
    table = Table(title="Patients read again")
    for name in ("because of", "patients", "resources written" if write else "would be written"):
        table.add_column(name, justify="left" if name == "because of" else "right")
    for reason, patients in sorted(tally.worked.items()):
        table.add_row(reason, str(patients), str(tally.changes[reason]))
    console = stdout()
    print_table(console, table)
    for code, patients in sorted(tally.errors.items()):
        said = escape(tally.remedies.get(code, ""))
        console.print(f"[red]{code}[/]: {patients}. {said}".rstrip(), soft_wrap=True)
    console.print(
        f"{waiting} patients wait: for a date, to be tried again, or until the lease of a run that "
        "was killed on another machine is over (ten minutes).",
        soft_wrap=True,
    )
    if not write:
        console.print("Dry run, nothing written. Add --write.")


def _say_not_whole(seen: LookedAt) -> None:
    """Of the one look of --once: which feeds told nothing or not all, and what to do about it."""
    console = stderr_console()
    if seen.not_whole:
        said = ", ".join(f"{feed} ({why})" for feed, why in seen.not_whole)
        console.print(f"Not whole: {said}.", markup=False, soft_wrap=True)
    for remedy in seen.remedies:
        console.print(remedy, markup=False, soft_wrap=True)


def _as_json(
    tally: Tally, made: Watching, seen: LookedAt, waiting: int, *, write: bool
) -> dict[str, Any]:
    return {
        "worked": dict(sorted(tally.worked.items())),
        "changes": dict(sorted(tally.changes.items())),
        "errors": dict(sorted(tally.errors.items())),
        "duplicates": len(tally.doubled),
        "waiting": waiting,
        "polled": list(made.pollable.types),
        "not-polled": dict(made.pollable.why_not),
        "not-reached": dict(made.pollable.not_reached),
        "not-whole": dict(seen.not_whole),
        "remedies": list(dict.fromkeys((*made.pollable.remedies, *seen.remedies))),
        "dry-run": not write,
    }
