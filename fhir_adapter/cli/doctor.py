"""`server doctor`: what a FHIR server does, check by check, and what that means here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fhir_adapter import bootstrap, publishing
from fhir_adapter.cli import options, outputs
from fhir_adapter.cli.everywhere import Everywhere
from fhir_adapter.cli.running import print_json, stderr_console, stdout, stopped_alike
from fhir_adapter.cli.tables import print_table
from fhir_adapter.present import server_report as report

if TYPE_CHECKING:
    from fhir_adapter.bootstrap.studies import Findings
    from fhir_adapter.doctor import Earlier, Report
    from fhir_adapter.writeback import Choice

_COLOURS = {
    "passed": "green",
    "failed": "red",
    "unproved": "yellow",
    "works": "green",
    "fails": "red",
    "cannot-tell": "yellow",
}


def doctor(  # noqa: PLR0913 - one parameter per option
    url: Annotated[str | None, typer.Argument(help="Base URL of the server.")] = None,
    *,
    study: options.Study = None,
    study_server: options.StudyServer = None,
    patient: Annotated[
        str, typer.Option(help="A patient who has data of every type: makes proof possible.")
    ] = "",
    seconds: Annotated[
        int, typer.Option(help="About how long to go on with a slow server.", min=1)
    ] = 120,
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Also write test resources, each marked as ours, and remove them at the end.",
        ),
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(help="File for the findings as Markdown tables.")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="File for the findings as the adapter reads them.")
    ] = None,
    common: Everywhere,
) -> None:
    """Say what a server does, what that means for the adapter, and what a study needs of it.

    Without --write only reads and searches are sent. Exit 1 where something failed that the
    adapter, or the study, needs.
    """
    # each command waits for its own libraries only
    from fhir_adapter.bootstrap import doctoring, studies  # noqa: PLC0415 - as said above

    outputs.refuse_unwritable(markdown, "--markdown")
    outputs.refuse_unwritable(profile, "--profile")
    asked = common.settings(record_server=url, study=study, study_server=study_server)
    in_force = doctoring.afresh(asked)
    package = bootstrap.study_package(in_force)
    until, end = doctoring.moments(seconds)
    needs = publishing.needs(package)
    with stopped_alike():
        found = doctoring.examine_server(
            in_force, write=write, known_patient=patient, until=until, told=_say_left
        )
    of_study: Findings = ()
    if not found.not_asked:
        of_study = studies.examine(in_force, needs, known_patient=patient, until=end)
    choice = doctoring.choice_for(in_force, found)
    _keep(found, in_force.record_server, markdown, profile)
    _say_earlier(found.earlier)
    if common.as_json:
        print_json(_json(found, choice, of_study, write=write))
    else:
        _print(stdout(), found, of_study)
        _print_ways(stdout(), found, choice)
    if found.has_needed_failure or any(one.ok.value == "failed" for one in of_study):
        raise typer.Exit(1)


def _keep(found: Report, server: str, markdown: Path | None, profile: Path | None) -> None:
    """The files that were asked for."""
    from fhir_adapter.bootstrap import profiles  # noqa: PLC0415 - as said above

    if markdown is not None:
        with outputs.told("--markdown"):
            markdown.write_text(_markdown(found), "utf-8")
    if profile is None:
        return
    if found.not_asked:
        stderr_console().print("No profile was written: nothing was seen that it could hold.")
        return
    with outputs.told("--profile"):
        profiles.keep(found.profile, server, profile)


def _print_ways(console: Console, found: Report, choice: Choice | None) -> None:
    if choice is not None:
        proved = not found.profile.is_open("kept.ResearchSubject")
        said = report.ways_sentence(choice.ways, choice.reason, proved=proved)
        console.print(said, markup=False, soft_wrap=True)


def _say_earlier(earlier: Earlier) -> None:
    """Test resources of runs that were killed: their ids tell nothing about anybody either."""
    console = stderr_console()
    for title, places in (
        ("[bold]Left behind by earlier runs, now removed[/]", earlier.removed),
        ("[bold red]Left behind by earlier runs, and could not be removed[/]", earlier.left),
        (
            (
                "[bold]Left alone, of a run that may still be going on[/] (its end, or its last "
                "write, is less than an hour ago)"
            ),
            earlier.spared,
        ),
    ):
        if places:
            console.print(f"{title}:")
            for one in places:
                console.print(f"  {escape(one)}")


def _say_left(left: tuple[str, ...]) -> None:
    """Ours, made a moment ago: their ids tell nothing about anybody."""
    console = stderr_console()
    console.print("[bold red]Could not be removed[/] (test resources of this run):")
    for one in left:
        console.print(f"  {escape(one)}")


def _markdown(found: Report) -> str:
    column = report.Column(name="server", software=found.software, findings=found.findings)
    return f"# What a FHIR server does\n\n{report.matrix([column])}"


def _json(
    found: Report, choice: Choice | None, of_study: Findings, *, write: bool
) -> dict[str, Any]:
    return {
        "software": found.software,
        "requests": found.requests,
        "not-asked": found.not_asked,
        "out-of-time": found.out_of_time,
        "written": write,
        "token": found.token,
        "left-behind": list(found.left_behind),
        "earlier": {
            "removed": list(found.earlier.removed),
            "left": list(found.earlier.left),
            "spared": list(found.earlier.spared),
        },
        "checks": [report.finding_json(one) for one in found.findings],
        "choices": report.choices(found.profile, () if choice is None else choice.ways),
        "study": [
            {
                "check": finding.check,
                "type": finding.resource_type,
                "result": finding.ok.value,
                "code": finding.code,
                "remedy": finding.remedy,
            }
            for finding in of_study
        ],
    }


def _print(console: Console, found: Report, of_study: Findings) -> None:
    if found.not_asked:
        _print_refusal(console, found)
        return
    _say_nothing_written(console, found)
    for title, rows in report.grouped(found.findings):
        print_table(console, _table(title, rows))
    print_table(console, _study_table(of_study))
    console.print(f"{report.tally(found.findings)} ({found.requests} requests).")
    if found.out_of_time:
        console.print(report.untried(found.out_of_time, of=len(found.findings)))


def _print_refusal(console: Console, found: Report) -> None:
    """No table of what was not asked: what fails, and what to do about it."""
    failed = [one for one in found.findings if one.verdict.value == "fails"]
    left_out = sum(one.reason == found.not_asked for one in found.findings)
    console.print(f"{left_out} checks {escape(found.not_asked)}.")
    for one in failed:
        console.print(f"{escape(one.title)}: {_coloured('fails')}: {escape(one.reason)}.")
        console.print(escape(one.remedy))


def _say_nothing_written(console: Console, found: Report) -> None:
    """Before the tables: they would say it once for every check that writes."""
    for one in found.findings:
        if one.id == "write.canary" and one.verdict.value == "fails":
            console.print(f"[bold red]Nothing was tried that writes[/]: {escape(one.reason)}.")
            console.print(escape(one.remedy))


def _table(title: str, rows: Sequence[report.Row]) -> Table:
    table = Table("check", "result", "seen", "means", title=title, title_justify="left")
    for row in rows:
        table.add_row(
            escape(row.what), _coloured(row.verdict.value), escape(row.seen), escape(row.means)
        )
    return table


def _coloured(result: str) -> str:
    return f"[{_COLOURS[result]}]{result}[/]"


def _study_table(found: Findings) -> Table:
    table = Table(
        "check", "type", "result", "seen", "remedy", title="This study", title_justify="left"
    )
    for finding in found:
        table.add_row(
            finding.check,
            finding.resource_type,
            _coloured(finding.ok.value),
            escape(finding.code),
            escape(finding.remedy),
        )
    return table
