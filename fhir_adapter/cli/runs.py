"""A run over some records, for every command that judges more than one patient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.people import people
from fhir_adapter.cli import tables
from fhir_adapter.cli.everywhere import Everywhere
from fhir_adapter.cli.running import log, progress, stderr_console, stdout
from fhir_adapter.errors import AdapterError, RecordFault, SettingInvalid
from fhir_adapter.model.dates import instant
from fhir_adapter.model.decision import Decision
from fhir_adapter.ports import NotWhole, RecordSource
from fhir_adapter.present.sentences import (
    damage_sentence,
    incomplete_sentence,
    not_whole_sentence,
)
from fhir_adapter.present.words import DISCLAIMER
from fhir_adapter.present.worklist import (
    Worklist,
    outcome_counts,
    unlisted_sentence,
    unproved_sentence,
)
from fhir_adapter.present.worklist import worklist as worklist_of
from fhir_adapter.screening import AsOf, Heard, Screened, screen_everyone
from fhir_adapter.settings import Settings

MANY = 1000
"""Patients from which on an export is worth its minutes of waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run over some records: everyone is in ``screened``, whatever happened."""

    bench: bootstrap.Bench
    as_of: AsOf
    screened: tuple[Screened, ...]
    damage: bootstrap.Damage
    not_whole: tuple[NotWhole, ...] = ()
    """Types that a record server did not give whole, and for how many patients."""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What could be judged."""
        return tuple(one.decision for one in self.screened if one.decision is not None)

    @property
    def failed(self) -> tuple[tuple[str, AdapterError], ...]:
        """What could not, with the reason."""
        return tuple((one.patient, one.error) for one in self.screened if one.error is not None)

    @property
    def worked_on(self) -> dict[str, str]:
        """Patients with a person's status in this study, and that status."""
        return {one.patient: one.statuses[-1] for one in self.screened if one.statuses}


def run(
    in_force: Settings,
    folder: Path | None,
    *,
    as_of: str | None,
    patients: Sequence[str] | None,
    quiet: bool,
) -> Run:
    """Judge the patients of a folder or server."""
    log("run-started", study=in_force.study, site=in_force.site, server=folder is None)
    with people(in_force) as known:
        bench = bootstrap.bench(in_force, answers=known.answers, refusals=known.refusals)
        source = bootstrap.record_source(in_force, folder, bench.mappings)
        moment = bench.moment(as_of)
        begun = bench.clock.now()
        wanted = list(patients) if patients else list(source.patients())
        damage = _said_aloud(bootstrap.damage_of(source), found=len(wanted))
        if folder is None and len(wanted) >= MANY:
            _say_export_pays(len(wanted))
        heard = Heard(source)
        found = screen_everyone(bench.screener, heard, moment, wanted)
        if folder is None:
            found = _audited(found, bench.package.study.id, known.was_read)
        seen = tuple(progress(found, text="screening", total=len(wanted), quiet=quiet))
    not_whole = heard.not_whole() if folder is None else ()  # of files the damage is said above
    made = Run(bench=bench, as_of=moment, screened=seen, damage=damage, not_whole=not_whole)
    if folder is None and not quiet:
        _say_of_server(source)
    _say_not_whole(made)
    _say_future(made)
    _log_end(made, seconds=(bench.clock.now() - begun).total_seconds())
    return made


def _say_of_server(source: RecordSource) -> None:
    # who reads a folder does not wait for the network's libraries
    from fhir_adapter.bootstrap.records import remark_on  # noqa: PLC0415 - as said above

    said = remark_on(source)
    if said:
        log("capability-lists-nothing")
        stderr_console().print(f"[yellow]{escape(said)}[/]", soft_wrap=True)


def _say_export_pays(patients: int) -> None:
    said = (
        f"{patients:,} patients are pulled one after another. Where the server offers $export, "
        "`fhir-adapter cohort load --server` takes them all at once, and `cohort screen` gives the "
        "same answers."
    )
    stderr_console().print(said, soft_wrap=True, highlight=False)


def _audited(
    found: Iterable[Screened], study: str, was_read: Callable[[str, str], None]
) -> Iterator[Screened]:
    for one in found:
        if one.record is not None:
            was_read(one.patient, study)
        yield one


def _said_aloud(damage: bootstrap.Damage, *, found: int) -> bootstrap.Damage:
    said = damage_sentence(damage.issues, damage.places)
    if said and not found:
        raise RecordFault("no patient could be read", where="record folder", remedy=said)
    say_damage(damage.issues, damage.places)
    return damage


def say_damage(
    issues: Mapping[str, int], places: Sequence[str] = (), *, in_tables: bool = False
) -> None:
    """Nobody is lost in silence: --quiet and --json keep stdout clean, not people ignorant."""
    said = damage_sentence(issues, places, in_tables=in_tables)
    if said:
        log("records-damaged", **issues)
        stderr_console().print(f"[yellow]{escape(said)}[/]", soft_wrap=True)


def say_incomplete(incomplete: Mapping[str, int], patients: int) -> None:
    """What no question to these tables can know: said with every one of them."""
    named = {f"{kind} ({bootstrap.types_of(kind)})": n for kind, n in incomplete.items()}
    said = incomplete_sentence(named, patients)
    if said:
        stderr_console().print(f"[yellow]{escape(said)}[/]", soft_wrap=True)


def _say_not_whole(made: Run) -> None:
    """Once, by type: a run of open criteria would not tell anybody that a door is shut."""
    for one in made.not_whole:
        log("type-not-whole", type=one.resource_type, why_not=one.why_not, patients=one.patients)
    said = not_whole_sentence(made.not_whole, of=len(made.screened))
    if said:
        stderr_console().print(f"[yellow]{escape(said)}[/]", soft_wrap=True)


def _say_future(made: Run) -> None:
    """One mistyped year moves the newest fact, and with it the question, to a day to come."""
    now = instant(made.bench.clock.now())
    late = 0 if isinstance(made.as_of, int) else sum(d.as_of > now for d in made.decisions)
    if late:
        log("last-fact-in-future", patients=late)
        said = (
            f"The newest fact of {late} of {len(made.screened)} patients has a date that is still "
            "to come, and they were judged as of that date: where dates were not shifted on "
            "purpose, one is mistyped. --as-of with a date judges everybody on the same day."
        )
        stderr_console().print(f"[yellow]{said}[/]", soft_wrap=True)


def _log_end(made: Run, *, seconds: float) -> None:
    for _, error in made.failed:
        log("patient-failed", code=error.code)
    log(
        "run-ended",
        patients=len(made.screened),
        failed=len(made.failed),
        requests=sum(one.requests for one in made.screened),
        seconds=round(seconds, 3),
        **{outcome.value: count for outcome, count in outcome_counts(made.decisions)},
    )


def refuse_two_sources(folder: Path | None, server: str | None) -> None:
    """A folder and a server on one command line: nobody may guess which was meant."""
    if folder is not None and server:
        raise SettingInvalid(
            "records come from a folder or from a server, and both are named",
            remedy="Leave out the folder or --server; --write-server says where to write.",
        )


def refuse_two_forms(common: Everywhere, *, as_csv: bool, identifiers: bool) -> None:
    """One form of output at a time, and identifiers only where they can be left out."""
    if as_csv and common.as_json:
        raise SettingInvalid("--csv and --json are two forms", remedy="Leave one of them out.")
    if identifiers and not as_csv:
        raise SettingInvalid(
            "--identifiers belongs to --csv: the other forms name patients anyway",
            remedy="Add --csv, or leave --identifiers out.",
        )


def say_next(listed: Worklist, *, total: int, quiet: bool, in_tables: bool = False) -> None:
    """An empty list is an answer, and not the end of the road."""
    if listed.listed or quiet:
        return
    if not total:
        said = (
            "No patient was found. Check the folder or the address: "
            "`fhir-adapter server doctor URL` says what a server can do."
        )
    else:
        said = (
            f"Nobody to look at among {total} patients. {_everybody(in_tables=in_tables)} "
            "everybody with the outcome, `fhir-adapter explain PATIENT ...` says why, and "
            "`fhir-adapter cohort report FOLDER` counts what is missing per criterion."
        )
    stdout().print(said, markup=False, soft_wrap=True)


def _everybody(*, in_tables: bool) -> str:
    return "`--out FOLDER` writes" if in_tables else "`fhir-adapter screen ... --all` lists"


def say_no_basis(bench: bootstrap.Bench, *, aloud: bool = True) -> None:
    """Why everybody is stopped, where that is why; on stderr where stdout holds data."""
    if bench.screener.basis:
        return
    (stdout() if aloud else stderr_console()).print(
        f"The site file records no basis for this study ({bench.package.study.id}) that is in "
        "force today: nobody is screened. Add a [[basis]] with approval and dates to the site "
        "file.",
        soft_wrap=True,
        markup=False,
        style="yellow",
    )


def show(found: Run, *, everyone: bool = False, quiet: bool = False) -> None:
    """Counts, then the list."""
    console = stdout()
    listed = worklist_of(found.decisions, failed=len(found.failed), worked_on=found.worked_on)
    tables.print_table(console, tables.counts_table(found.decisions, len(found.failed)))
    tables.print_table(console, tables.worklist_table(listed, everyone=everyone))
    if listed.unproved:
        console.print(unproved_sentence(listed), markup=False, soft_wrap=True)
    if listed.unlisted and not everyone:
        console.print(unlisted_sentence(listed), markup=False, soft_wrap=True)
    say_next(listed, total=listed.total, quiet=quiet or everyone or not found.bench.screener.basis)
    for patient, error in found.failed:
        console.print(f"[red]{escape(patient)} could not be judged[/]: {escape(str(error))}")
    say_no_basis(found.bench)
    console.print(f"[dim]{DISCLAIMER}[/]")
