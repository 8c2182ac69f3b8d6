"""`cohort screen`: who in this hospital, by one SQL statement. `cohort sql`: that statement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.people import people
from fhir_adapter.cli import options, tables
from fhir_adapter.cli.everywhere import Everywhere
from fhir_adapter.cli.running import (
    log,
    log_to_stderr,
    print_json,
    progress,
    stdout,
)
from fhir_adapter.cli.runs import (
    refuse_two_forms,
    say_damage,
    say_incomplete,
    say_next,
    say_no_basis,
)
from fhir_adapter.cli.written import (
    log_written,
    say_duplicates,
    say_of_list,
    say_without_key,
    show_written,
)
from fhir_adapter.errors import ServerFault, SettingInvalid
from fhir_adapter.model.decision import Decision, Outcome
from fhir_adapter.ports import Written
from fhir_adapter.present.json_form import run_json, runs_json
from fhir_adapter.present.tables import worklists_csv
from fhir_adapter.present.words import DISCLAIMER, OUTCOMES
from fhir_adapter.present.worklist import Worklist, unlisted_sentence, unproved_sentence
from fhir_adapter.present.worklist import worklist as worklist_of
from fhir_adapter.screening import Screened
from fhir_adapter.settings import Settings

Store = Annotated[Path, typer.Argument(help="Folder of the fact tables (`cohort load`).")]


def screen_command(  # noqa: PLR0913 - one argument per option
    store: Store,
    *,
    study: options.Studies = None,
    study_server: options.StudyServer = None,
    write_server: options.WriteServer = None,
    engine: options.Engine = None,
    spark_remote: options.SparkRemote = None,
    out: Annotated[
        Path | None,
        typer.Option(help="New folder for Parquet files: every patient's outcome and effects."),
    ] = None,
    as_csv: options.Csv = False,
    identifiers: options.Identifiers = False,
    write: options.Write = False,
    log_json: options.LogJson = False,
    common: Everywhere,
) -> None:
    """Judge everyone in a store: one SQL statement, the same answers as `screen`.

    Several studies (--study A,B) are judged in one pass; each has its counts and its list. Who is
    listed is judged again by the record lane; a difference stops the run. With
    --write-server the run says what it would write for those listed or proposed before; --write
    writes it.
    """
    refuse_two_forms(common, as_csv=as_csv, identifiers=identifiers)
    in_force = common.settings(
        study=study,
        study_server=study_server,
        write_server=write_server,
        engine=engine,
        spark_remote=spark_remote,
    )
    log_to_stderr(as_json=log_json, run=bootstrap.run_id())
    _refuse_nowhere(in_force.write_server, write=write)
    found = _judged(in_force, store, out, common)
    log("cohort-screened", studies=len(found), shown=sum(len(one.shown) for one in found))
    written = [
        _written(in_force, one.bench, one.shown, write=write, quiet=common.quiet) for one in found
    ]
    if as_csv:
        listed = [(one.bench.package.study.id, one.listed) for one in found]
        typer.echo(worklists_csv(listed, identifiers=identifiers), nl=False)
        for one in found:
            say_no_basis(one.bench, aloud=False)
    elif common.as_json:
        forms = [_as_json(one, sent) for one, sent in zip(found, written, strict=True)]
        print_json(runs_json(forms))
    else:
        _print_all(found, written, out, write=write, quiet=common.quiet)
    for sent in written:
        log_written(sent, write=write)
    say_duplicates(sum(len(one.duplicates) for sent in written for one in sent))
    say_without_key(in_force, [one for sent in written for one in sent], write=write)
    if any(one.error for sent in written for one in sent):
        raise typer.Exit(ServerFault.exit_status)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One study: everyone counted; those to show, export or write judged by both lanes."""

    bench: bootstrap.Bench
    counts: Counter[Outcome]
    shown: list[Screened]
    issues: Mapping[str, int]
    lacks: Mapping[str, int]
    """Kind of fact to patients for whom it was not retrieved whole."""

    @property
    def unshown(self) -> int:
        """Candidates and needs data at whom nobody has pointed: counted, and judged by SQL."""
        wanted = (Outcome.CANDIDATE, Outcome.NEEDS_DATA)
        shown = sum(1 for one in self.decisions if one.outcome in wanted)
        return sum(self.counts[outcome] for outcome in wanted) - shown

    @property
    def decisions(self) -> list[Decision]:
        return [one.decision for one in self.shown if one.decision is not None]

    @property
    def listed(self) -> Worklist:
        return worklist_of(self.decisions, worked_on=self.people)

    @property
    def people(self) -> dict[str, str]:
        return {one.patient: one.statuses[-1] for one in self.shown if one.statuses}


def _judged(in_force: Settings, store: Path, out: Path | None, common: Everywhere) -> list[_Found]:
    # the table libraries are loaded by the command that needs them
    from fhir_adapter.bootstrap import cohorts  # noqa: PLC0415 - as said above
    from fhir_adapter.bootstrap.exports import writer  # noqa: PLC0415 - as said above

    with people(in_force) as known, cohorts.cohort_engine(in_force) as engine:
        benches = [
            bootstrap.bench(one, answers=known.answers, refusals=known.refusals)
            for one in in_force.each_study()
        ]
        as_of = benches[0].moment(common.as_of)
        asked = cohorts.screen_cohort(benches, store, as_of, known.spoken, engine)
        say_damage(asked.issues, in_tables=True)
        say_incomplete(asked.incomplete, asked.everyone)
        found = {
            one.package.study.id: _Found(
                bench=one, counts=Counter(), shown=[], issues=asked.issues, lacks=asked.incomplete
            )
            for one in benches
        }
        with writer(out, list(found)) as keep:
            parts = progress(asked.parts, text="screening", total=asked.total, quiet=common.quiet)
            for together, part in parts:
                for bench, one in zip(together, part.studies, strict=True):
                    study = bench.package.study.id
                    found[study].counts.update(one.answers.outcomes)
                    found[study].shown.extend(one.shown)
                    keep(study, part.done, one.answers)
    return list(found.values())


def _as_json(found: _Found, written: Sequence[Written]) -> dict[str, Any]:
    study, zone = found.bench.package.study, found.bench.zone
    made = run_json(
        found.decisions, (), study, zone, written, issues=found.issues, people=found.people
    )
    everyone = {outcome.value: found.counts[outcome] for outcome in Outcome}
    return {
        **made,
        "patients": found.counts.total(),
        "counts": everyone,
        "not_retrieved": dict(found.lacks),
        "unlisted": found.unshown,
    }


def _print_all(
    found: Sequence[_Found],
    written: Sequence[Sequence[Written]],
    out: Path | None,
    *,
    write: bool,
    quiet: bool,
) -> None:
    console = stdout()
    if len(found) > 1:
        tables.print_table(console, _studies_table(found))
    for one, sent in zip(found, written, strict=True):
        if len(found) > 1:
            asked = one.bench.package.study
            console.print(f"\n{asked.id}  {asked.identity.title}", markup=False, style="bold")
        else:
            tables.print_table(console, _counts_table(one.counts))
        _print(one, quiet=quiet)
        show_written(sent, write=write)
    if out is not None:
        console.print(f"Everybody's outcome and effects: {out}", markup=False)
    console.print(f"[dim]{DISCLAIMER}[/]")


def _print(found: _Found, *, quiet: bool) -> None:
    console, listed = stdout(), found.listed
    tables.print_table(console, tables.worklist_table(listed))
    if listed.unproved:
        console.print(unproved_sentence(listed), markup=False, soft_wrap=True)
    unlisted = unlisted_sentence(listed, more=found.unshown, shows="--out FOLDER has")
    if unlisted:
        console.print(unlisted, markup=False, soft_wrap=True)
    silent = quiet or not found.bench.screener.basis
    say_next(listed, total=found.counts.total(), quiet=silent, in_tables=True)
    say_no_basis(found.bench)


def _refuse_nowhere(write_server: str, *, write: bool) -> None:
    if write and not write_server:
        raise SettingInvalid(
            "fact tables are no server: there is nowhere to write to",
            remedy="Name a server with --write-server, or leave --write out.",
        )


def _written(
    in_force: Settings, bench: bootstrap.Bench, shown: list[Screened], *, write: bool, quiet: bool
) -> tuple[Written, ...]:
    if not in_force.write_server:
        return ()
    from fhir_adapter.bootstrap.writing import writing  # noqa: PLC0415 - only who writes waits

    with writing(in_force, bench, write=write) as desk:
        sent = desk.send_each(shown)
        written = tuple(progress(sent, text="writing", total=len(shown), quiet=quiet))
        say_of_list(desk.list_proposals())
    return written


def _counts_table(counts: Counter[Outcome]) -> Table:
    table = Table(title="Patients by outcome", show_footer=True)
    table.add_column("outcome", footer="everyone in the store")
    table.add_column("patients", justify="right", footer=str(counts.total()))
    for outcome in reversed(Outcome):
        table.add_row(OUTCOMES[outcome], str(counts[outcome]))
    return table


def _studies_table(found: Sequence[_Found]) -> Table:
    table = Table(title=f"{found[0].counts.total()} patients by study and outcome")
    table.add_column("study")
    outcomes = list(reversed(Outcome))
    for outcome in outcomes:
        table.add_column(OUTCOMES[outcome], justify="right")
    for one in found:
        counts = [str(one.counts[outcome]) for outcome in outcomes]
        table.add_row(one.bench.package.study.id, *counts)
    return table


def sql_command(
    *,
    study: options.Studies = None,
    spark: Annotated[bool, typer.Option("--spark", help="In Spark's dialect.")] = False,
    common: Everywhere,
) -> None:
    """Print the statement that judges everyone: for an auditor, or another engine.

    Several studies (--study A,B) make one statement, as `cohort screen` runs it.
    Codes stand in the tables concept_set and system_mask, never in the statement.
    """
    from fhir_adapter.bootstrap import cohorts  # noqa: PLC0415 - as above

    benches = [bootstrap.bench(one) for one in common.settings(study=study).each_study()]
    dialect: Literal["spark", "duckdb"] = "spark" if spark else "duckdb"
    statement = cohorts.statement_text(benches, dialect)
    if common.as_json:
        asked = [one.package.study for one in benches]
        studies = [{"study": one.id, "study-version": one.version} for one in asked]
        named = studies[0] if len(studies) == 1 else {"studies": studies}
        print_json({**named, "dialect": dialect, "statement": statement})
        return
    typer.echo(statement)
