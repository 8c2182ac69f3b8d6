"""`ledger`: its state, decisions made again, retention, duplicates on the server."""

from __future__ import annotations

import getpass
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from fhir_adapter.cli import options
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.patients import Given, PatientFile, patients_of
from fhir_adapter.cli.running import print_json, progress, stderr_console, stdout
from fhir_adapter.cli.tables import print_table
from fhir_adapter.errors import SettingInvalid

if TYPE_CHECKING:
    from fhir_adapter.bootstrap.keeping import LedgerState, LookedUp
    from fhir_adapter.bootstrap.replaying import Replayed
    from fhir_adapter.writeback import Repaired

app: typer.Typer = typer.Typer(
    no_args_is_help=True, help="What the adapter remembers: state, replay, repair, retention."
)
Yes = Annotated[
    bool, typer.Option("--yes", help="Do it. Without it is only said what would happen (dry run).")
]
_NESTED = ("subjects", "queue", "outbox")
_WHY = {
    "recorded-by-older-ledger": "recorded before ledger schema 4, which keeps what is needed",
    "never-kept": "the patient was not listed: values are kept of listed patients only",
    "values-forgotten": "the values are gone: their days were over",
    "study-not-found": "no such study here; name its folder with --study",
    "study-changed": "the study has changed since",
    "mappings-changed": "the site's mappings have changed since, or another --site is meant",
    "engine-changed": "another version of fhir-adapter made it",
    "facts-schema-changed": "the form of facts has changed since",
}


def _moment(value: int | None) -> str | None:
    return None if value is None else datetime.fromtimestamp(value / 1e6, UTC).isoformat()


@app.command()
@everywhere
def status(*, common: Everywhere) -> None:
    """Say where the ledger is, what is in it and what waits: counts, no contents."""
    # each command waits for its own libraries only
    from fhir_adapter.bootstrap import keeping, ledgers  # noqa: PLC0415 - as said above

    in_force = common.settings()
    days = ledgers.retention_days(in_force)
    with keeping.opened(in_force) as ledger:
        state = keeping.state_of(ledger)
    said = _state_json(state, days)
    if common.as_json:
        print_json(said)
        return
    table = Table("", "")
    for name, value in _flat(said):
        table.add_row(name, escape(str(value)))
    print_table(stdout(), table)


def _state_json(state: LedgerState, days: int) -> dict[str, Any]:
    counts, outbox = state.counts, asdict(state.outbox)
    return {
        "engine": state.kind,
        "place": state.place,
        "schema": counts.schema,
        "retention_days": days,
        "decisions": counts.decisions,
        "with_values": counts.listed,
        "records": counts.inputs,
        "answers": counts.answers,
        "declines": counts.declines,
        "audit": counts.audit,
        "subjects": dict(counts.subjects),
        "queue": {
            "waiting": state.waiting,
            "failing": state.failing,
            "oldest_due": _moment(state.oldest_due),
        },
        "outbox": {**outbox, "oldest": _moment(state.outbox.oldest)},
    }


def _flat(said: dict[str, Any]) -> list[tuple[str, object]]:
    """Lines for people: what is empty is left out."""
    rows: list[tuple[str, object]] = [
        (name, value) for name, value in said.items() if name not in _NESTED
    ]
    for name in _NESTED:
        rows += [(f"{name}: {inner}", value) for inner, value in said[name].items()]
    return [(name.replace("_", " "), value) for name, value in rows if value is not None]


@app.command()
@everywhere
def replay(
    patient: Given = None,
    *,
    patient_file: PatientFile = None,
    decision: Annotated[
        int | None, typer.Option(help="Only the decision of this number (see --json).")
    ] = None,
    study: options.Study = None,
    everything: Annotated[bool, typer.Option("--all", help="Every stored decision.")] = False,
    common: Everywhere,
) -> None:
    """Make stored decisions again from what was kept, and compare them byte for byte.

    `fhir-adapter ledger replay PATIENT --study S`, `... replay --decision 17`, `... replay --all`.
    What cannot be made again is named with every reason: values forgotten, study or mappings
    changed, another version. Exit 1 where one differs, or where none could be made again.
    """
    from fhir_adapter.bootstrap import keeping, replaying  # noqa: PLC0415 - as above

    in_force = common.settings(study=study)
    named = patients_of(patient, patient_file) if patient or patient_file else []
    if sum((bool(named), decision is not None, everything)) != 1:
        raise SettingInvalid(
            "say which decisions: a patient, --decision, or --all",
            where="command line",
            remedy="One of the three; --study narrows it to one study.",
        )
    wanted = study and replaying.study_id_of(in_force)
    with keeping.opened(in_force) as ledger:
        again = replaying.Replaying(settings=in_force, ledger=ledger)
        found: list[Replayed] = []
        patients: list[str | None] = [*named] if named else [None]
        for one in patients:
            made = again.run(decision=decision, patient=one, study=wanted or None)
            found += progress(made, text="replaying", total=None, quiet=common.quiet)
    if common.as_json:
        print_json([_replayed_json(one) for one in found])
    else:
        _show_replayed(found)
    results = {one.result for one in found}
    if "differs" in results or ("same" not in results and (found or not everything)):
        raise typer.Exit(1)


def _replayed_json(one: Replayed) -> dict[str, Any]:
    moments = {"as_of": _moment(one.as_of), "recorded_at": _moment(one.recorded_at)}
    return {**asdict(one), **moments, "reasons": list(one.reasons)}


def _show_replayed(found: list[Replayed]) -> None:
    console = stdout()
    if not found:
        console.print("No such decision is in the ledger.")
        return
    counts = Counter((one.study, one.result, one.reasons) for one in found)
    table = Table("study", "result", "decisions", "why")
    for (study, result, reasons), number in sorted(counts.items()):
        why = "; ".join(_WHY[reason] for reason in reasons)
        colour = {"same": "green", "differs": "red"}.get(result, "yellow")
        table.add_row(escape(study), f"[{colour}]{result}[/]", str(number), why)
    print_table(console, table)
    for one in found:
        if one.result == "differs":
            said = f"[red]Decision {one.decision} comes out differently[/]: please report it."
            console.print(said, soft_wrap=True)


@app.command()
@everywhere
def purge(*, yes: Yes = False, common: Everywhere) -> None:
    """Remove values whose days (`retention_days`) are over; the decisions' rows stay.

    Run it once a day. What people have answered stays until the patient is forgotten.
    """
    from fhir_adapter.bootstrap import keeping, ledgers  # noqa: PLC0415 - as above

    in_force = common.settings()
    days = ledgers.retention_days(in_force)
    with keeping.opened(in_force) as ledger:
        found = keeping.purge(in_force, ledger, write=yes)
    if common.as_json:
        print_json({"dry_run": not yes, "retention_days": days, **asdict(found)})
        return
    stdout().print(
        f"{_said(done=yes)}: values of {found.decisions} decisions, {found.inputs} records, "
        f"{found.outbox} proposals and {found.tokens} used tokens, older than {days} days.",
        soft_wrap=True,
    )


def _said(*, done: bool) -> str:
    return "Removed" if done else "Dry run, nothing removed. With --yes"


@app.command()
@everywhere
def forget(
    patient: Given = None,
    *,
    patient_file: PatientFile = None,
    yes: Yes = False,
    common: Everywhere,
) -> None:
    """Remove everything about a patient from the ledger; what stands on a server is not touched.

    Refusals, the memory of proposals and the audit stay under a keyed hash (site_key), so that a
    forgotten patient who declined is not proposed again.
    """
    from fhir_adapter.bootstrap import keeping  # noqa: PLC0415 - as above

    named = patients_of(patient, patient_file)
    with keeping.opened(common.settings()) as ledger:
        found = dict(ledger.retention.forget(named, who=_person(), write=yes))
    if common.as_json:
        print_json({"dry_run": not yes, "patients": len(named), "rows": found})
        return
    rows = ", ".join(f"{number} of {name}" for name, number in found.items()) or "nothing is there"
    stdout().print(f"{_said(done=yes)}: {rows}.", soft_wrap=True)


def _person() -> str:
    """Who runs the command, for the audit."""
    try:
        return f"command line, {getpass.getuser()}"
    except (OSError, KeyError):
        return "command line"


@app.command()
@everywhere
def decline(
    patient: Given = None,
    *,
    patient_file: PatientFile = None,
    study: options.Study = None,
    every_study: Annotated[
        bool, typer.Option("--every-study", help="No research at all: an opt-out.")
    ] = False,
    role: Annotated[str, typer.Option(help="Role of the person who heard it.")] = "coordinator",
    yes: Yes = False,
    common: Everywhere,
) -> None:
    """Record that one patient does not want a study (--study), or none at all (--every-study).

    All ids that are named are this one patient's. Who declined is judged and never proposed; who
    opted out is not judged. Neither is undone here, nor by forgetting the patient. An id that the
    record server does not know is recorded too, with a caution: a refusal is never lost.
    """
    from fhir_adapter.bootstrap import keeping, study_package  # noqa: PLC0415 - as above

    named = patients_of(patient, patient_file)
    if (study is None) != every_study:
        raise SettingInvalid(
            "say what is declined",
            where="command line",
            remedy="--study S for one study, or --every-study for all research.",
        )
    in_force = common.settings(study=study)
    what = "" if every_study else study_package(in_force).study.id
    with keeping.opened(in_force) as ledger:
        known = ledger.opted_out(named) if every_study else ledger.declined(what, named)
        if yes:  # before any server is asked: whatever that comes to, the refusal stands
            keeping.refuse(ledger, named, study=what, who=_person(), role=role)
        looked = keeping.looked_up(in_force, ledger, named, who=_person())
    if common.as_json:
        said = {"dry_run": not yes, "study": what, "patients": len(named), "known": bool(known)}
        print_json({**said, "unknown_ids": list(looked.unknown), "not_looked_up": looked.why_not})
        return
    made = "Recorded" if yes else "Dry run, nothing recorded. With --yes"
    of = "all research" if every_study else what
    was = " (that was known)" if known else ""
    stdout().print(f"{made}: one patient declines {of}{was}.", markup=False, soft_wrap=True)
    _caution(looked, of=len(named))


def _caution(looked: LookedUp, *, of: int) -> None:
    """What was recorded under an id that may be nobody's; ids are told by their place."""
    console = stderr_console()
    if looked.unknown:
        places = ", ".join(map(str, looked.unknown))
        console.print(
            f"[bold yellow]Caution[/]: the record server knows no patient of id {places} "
            f"(of {of} given). It is recorded under it all the same: check the spelling.",
            soft_wrap=True,
        )
    if looked.why_not:
        console.print(
            f"[bold yellow]Caution[/]: not looked up on the record server "
            f"({looked.why_not}): check the spelling of the id.",
            soft_wrap=True,
        )


@app.command("access-report")
@everywhere
def access_report(
    patient: Given = None,
    *,
    patient_file: PatientFile = None,
    common: Everywhere,
) -> None:
    """Say who and what has read or written something about a patient, and what is kept.

    That it was asked is recorded too. A patient who was forgotten is found by site_key.
    """
    from fhir_adapter.bootstrap import keeping  # noqa: PLC0415 - as above

    named = patients_of(patient, patient_file)
    with keeping.opened(common.settings()) as ledger:
        found = ledger.retention.access_report(named, who=_person())
    lines = [{**asdict(one), "at": _moment(one.at)} for one in found.accesses]
    if common.as_json:
        kept = {"held": dict(found.held), "with_values": found.values}
        print_json({"accesses": lines, **kept, "forgotten": found.forgotten})
        return
    console = stdout()
    table = Table("at", "who", "what", "purpose")
    for line in lines:
        table.add_row(*(escape(str(line[name])) for name in ("at", "who", "what", "purpose")))
    print_table(console, table)
    held = ", ".join(f"{number} of {name}" for name, number in found.held) or "nothing"
    console.print(f"Kept: {held}; decisions with values: {found.values}.", soft_wrap=True)


@app.command()
@everywhere
def repair(
    *,
    server: options.Server = None,
    write_server: options.WriteServer = None,
    study: options.Study = None,
    study_server: options.StudyServer = None,
    write: Annotated[
        bool, typer.Option("--write", help="Mend them. Without it nothing is written (dry run).")
    ] = False,
    common: Everywhere,
) -> None:
    """Find duplicate ResearchSubjects of a study on the server that is written to, and mend them.

    Kept is the one that a person touched, else the oldest. The others are set to not-registered
    with a pointer to the one that is kept. Where two are a person's, or it cannot be told, nothing
    is done: a person must. Exit 1 where that is so.
    """
    from fhir_adapter.bootstrap import keeping  # noqa: PLC0415 - as above

    in_force = common.settings(
        record_server=server, write_server=write_server, study=study, study_server=study_server
    )
    found = keeping.repair(in_force, write=write)
    if common.as_json:
        print_json({"dry_run": not write, "duplicates": [_repaired_json(one) for one in found]})
    else:
        _show_repaired(found, write=write)
    if any(one.why for one in found):
        raise typer.Exit(1)


def _repaired_json(one: Repaired) -> dict[str, Any]:
    done = [{"act": act, "reference": reference} for act, reference in one.done]
    return {"kept": one.kept, "done": done, "why": one.why}


def _show_repaired(found: tuple[Repaired, ...], *, write: bool) -> None:
    console = stdout()
    if not found:
        console.print("No duplicates were found.")
        return
    table = Table("kept", "others", "why a person must look")
    for one in found:
        others = ", ".join(f"{act} {reference}" for act, reference in one.done)
        table.add_row(escape(one.kept), escape(others), escape(one.why))
    print_table(console, table)
    if not write:
        console.print("Dry run, nothing written. --write does it.")
