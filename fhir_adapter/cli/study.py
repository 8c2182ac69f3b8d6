"""`study check | build | publish | show`: a study from its files to FHIR."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from fhir_adapter import bootstrap, publishing
from fhir_adapter.cli import options, outputs
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.running import print_json, stdout
from fhir_adapter.cli.tables import print_table
from fhir_adapter.errors import StudyInvalid
from fhir_adapter.ports import StudyPackage
from fhir_adapter.present.words import SETTLED

app: typer.Typer = typer.Typer(no_args_is_help=True, help="Check, build, publish and show a study.")
Name = Annotated[
    str, typer.Argument(help="A name in mappings/studies, or a folder with the three files.")
]


@app.command()
@everywhere
def check(name: Name = "NCT05985863", *, common: Everywhere) -> None:
    """Check a study: names, sentences, units, windows, signatures. Exit 4 where there are errors.

    A criterion that leaves out gate, lasts, if-absent, fresh or settled is refused: *none* is an
    answer, silence is not.
    """
    package = bootstrap.package_from_folder(name)
    findings = publishing.checked(package, bootstrap.units())
    errors = [finding for finding in findings if finding.severity == "error"]
    if common.as_json:
        keys = ("severity", "code", "where", "message", "remedy")
        print_json([{key: getattr(finding, key) for key in keys} for finding in findings])
    else:
        console = stdout()
        for finding in findings:
            colour = "red" if finding.severity == "error" else "yellow"
            text = f"{finding.where}: {finding.message}. {finding.remedy}"
            console.print(f"[{colour}]{finding.severity}[/] {finding.code} {escape(text)}")
        console.print(
            f"{len(package.study.criteria)} criteria, {len(errors)} errors, "
            f"{len(findings) - len(errors)} warnings."
        )
    if errors:
        raise typer.Exit(StudyInvalid.exit_status)


@app.command()
@everywhere
def build(
    name: Name = "NCT05985863",
    *,
    out: Annotated[Path, typer.Option(help="Folder for the resources.")] = Path("build/study"),
    common: Everywhere,
) -> None:
    """Write the study's FHIR form (R4) to a folder, one JSON file per resource."""
    # who checks or shows a study does not wait for the FHIR models and the network
    from fhir_adapter.bootstrap import studies  # noqa: PLC0415 - as said above

    package = _sound(name)
    with outputs.told("--out"):
        files = studies.build_to_folder(package, out)
    if common.as_json:
        print_json({"folder": str(out), "resources": files})
    elif not common.quiet:
        stdout().print(f"{files} resources in {out}", markup=False)


@app.command()
@everywhere
def publish(
    name: Name = "NCT05985863",
    *,
    server: Annotated[
        str | None, typer.Option("--server", help="Base URL of the FHIR server to publish to.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write. Without it: a dry run.")] = False,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Publish although readings are not signed.")
    ] = False,
    common: Everywhere,
) -> None:
    """Put the study's FHIR form on a server; what stands there already is left alone."""
    from fhir_adapter.bootstrap import clients, studies  # noqa: PLC0415 - as above

    in_force = common.settings(study_server=server)
    package = _sound(name)
    if write and not unsigned:
        publishing.refuse_unsigned(package)
    report = studies.publish(
        package, clients.study_client(in_force), bootstrap.SystemClock(), write=write
    )
    rows = [
        {"type": row.resource_type, "id": row.id, "action": row.action, "verified": row.verified}
        for row in report.resources
    ]
    if common.as_json:
        print_json(rows)
        return
    table = Table("resource", "id", "action", "read back")
    for row in report.resources:
        table.add_row(
            row.resource_type, escape(row.id), row.action, "equal" if row.verified else ""
        )
    print_table(stdout(), table)
    if not write:
        waiting = len(publishing.unsigned(package))
        more = f" {waiting} readings are not signed: it needs --unsigned, too." if waiting else ""
        stdout().print(f"Dry run, nothing written. Add --write.{more if not unsigned else ''}")


def _sound(name: str) -> StudyPackage:
    package = bootstrap.package_from_folder(name)
    publishing.refuse_errors(publishing.checked(package, bootstrap.units()))
    return package


@app.command()
@everywhere
def show(
    name: Name = "NCT05985863",
    *,
    study_server: options.StudyServer = None,
    common: Everywhere,
) -> None:
    """Show a study criterion by criterion: gate, policy, where settled, and its hash."""
    in_force = common.settings(study=name, study_server=study_server)
    package = bootstrap.study_package(in_force)
    hashes = publishing.criterion_hashes(package)
    if common.as_json:
        rows = [{"id": c.id, "kind": c.kind, "hash": hashes[c.id]} for c in package.study.criteria]
        found = {"study": package.study.id, "version": package.study.version}
        print_json({**found, "hash": publishing.hash_of(package), "criteria": rows})
        return
    study = package.study
    table = Table(title=escape(f"{study.id} {study.version}: {study.identity.title}"))
    for column in ("", "criterion", "gate", "if no data", "lasts", "fresh", "settled", "signed"):
        table.add_column(column)
    for c in study.criteria:
        gate = c.gate if isinstance(c.gate, str) else f"open: {c.gate.if_open}"
        signed = "yes" if c.sign_off else "no" if c.readings else "-"
        table.add_row(
            c.id, escape(c.title), gate, c.if_absent, c.lasts, c.fresh, SETTLED[c.settled], signed
        )
    print_table(stdout(), table)
    stdout().print(f"study hash {publishing.hash_of(package)}")
