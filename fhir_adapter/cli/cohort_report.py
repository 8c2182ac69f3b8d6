"""`cohort report`: is this study feasible here? Counts over everybody, before it goes live."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.people import people
from fhir_adapter.cli import options
from fhir_adapter.cli.everywhere import Everywhere
from fhir_adapter.cli.feasibility_tables import print_report
from fhir_adapter.cli.running import log, print_json, progress, stdout
from fhir_adapter.cli.runs import run
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.model.feasibility import Tally
from fhir_adapter.present.feasibility import MIN_CELL, Feasibility, feasibility
from fhir_adapter.present.feasibility_json import feasibility_json
from fhir_adapter.present.rows import local_time
from fhir_adapter.screening import AsOf
from fhir_adapter.settings import Settings


def report_command(
    store: Annotated[
        Path, typer.Argument(help="Fact tables (`cohort load`), or a folder or file of records.")
    ],
    *,
    study: options.Study = None,
    engine: options.Engine = None,
    spark_remote: options.SparkRemote = None,
    order: Annotated[
        str,
        typer.Option(help="Criteria to look at first in the attrition: E3a,I2c. Then the rest."),
    ] = "",
    min_cell: Annotated[
        int, typer.Option(help="Withhold counts of fewer people; 1 withholds nothing.", min=1)
    ] = MIN_CELL,
    html: Annotated[
        Path | None, typer.Option(help="Write the report as one self-contained page, too.")
    ] = None,
    common: Everywhere,
) -> None:
    """Feasibility before a study goes live: attrition, completeness, what restricts most.

    Counts only, no identifiers; they add up to everybody or there is no report. Small counts are
    withheld, and with them whatever would give one away.
    """
    in_force = common.settings(study=study, engine=engine, spark_remote=spark_remote)
    _refuse_no_folder(html)
    # the table libraries are loaded by the command that needs them
    from fhir_adapter.bootstrap.feasibility import is_store  # noqa: PLC0415 - as said above

    count = _of_store if is_store(store) else _of_records
    bench, moment, made, issues = count(in_force, store, common.as_of, order, quiet=common.quiet)
    log("cohort-reported", patients=made.everyone, judged=made.judged)
    report = feasibility(made, bench.package.study, min_cell=min_cell, issues=issues)
    said = {
        "as_of": moment if isinstance(moment, str) else local_time(moment, bench.zone),
        "site": bench.mappings.site.name,
    }
    if html is not None:
        _write_page(html, report, said)
    if common.as_json:
        print_json(feasibility_json(report, **said))
        return
    print_report(stdout(), report, **said)
    if html is not None and not common.quiet:
        _say_written(stdout(), html)


Counted = tuple[bootstrap.Bench, AsOf, Tally, Mapping[str, int]]


def _of_store(
    in_force: Settings, store: Path, as_of: str | None, order: str, *, quiet: bool
) -> Counted:
    """Everybody in fact tables, by SQL."""
    from fhir_adapter.bootstrap.cohorts import cohort_engine  # noqa: PLC0415 - as above
    from fhir_adapter.bootstrap.feasibility import StoreCount  # noqa: PLC0415 - as above

    with people(in_force) as known, cohort_engine(in_force) as engine:
        bench = bootstrap.bench(in_force, answers=known.answers, refusals=known.refusals)
        moment = bootstrap.parse_as_of(as_of, bench.zone, bench.clock)
        spoken = known.spoken(bench.package.study.id)
        asked = StoreCount(bench, store, moment, spoken, engine)
        shown = progress(asked.parts, text="counting", total=asked.total, quiet=quiet)
        return bench, moment, asked.tally(list(shown), order), asked.issues


def _of_records(
    in_force: Settings, folder: Path, as_of: str | None, order: str, *, quiet: bool
) -> Counted:
    """Everybody in a folder, by the record lane."""
    from fhir_adapter.bootstrap.feasibility import tally_decisions  # noqa: PLC0415 - as above

    found = run(in_force, folder, as_of=as_of, patients=None, quiet=quiet)
    study, failed = found.bench.package.study, len(found.failed)
    made, issues = tally_decisions(study, found.decisions, order, failed=failed)
    return found.bench, found.as_of, made, issues


def _refuse_no_folder(html: Path | None) -> None:
    """Before everybody is counted, not after."""
    if html is not None and (html.is_dir() or not html.parent.is_dir()):
        raise SettingInvalid(
            "the page cannot be written there: the folder does not exist, or it is a folder itself",
            where="--html",
            remedy="Name a file in a folder that exists.",
        )


def _write_page(html: Path, report: Feasibility, said: Mapping[str, str]) -> None:
    from fhir_adapter.cli.feasibility_page import page  # noqa: PLC0415 - jinja2 is for pages only

    # an older page stays whole until this one is; what is no file is written to as it is
    whole = html.is_file() or not html.exists()
    beside = html.with_name(f"{html.name}.new") if whole else html
    try:
        beside.write_text(page(report, **said), encoding="utf-8")
        if whole:
            beside.replace(html)
    except OSError as error:
        if whole:
            beside.unlink(missing_ok=True)
        raise SettingInvalid(
            f"the page cannot be written ({type(error).__name__})",
            where="--html",
            remedy="Name a file that may be written, on a disk with room.",
        ) from None


def _say_written(console: Console, html: Path) -> None:
    console.print(f"Page: {html}", markup=False)
