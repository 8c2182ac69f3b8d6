"""`demo`: the teaching cohort through a FHIR server in this process, written to, and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.sites import DemoSite, demo_site
from fhir_adapter.bootstrap.writing import writing, written_sentence
from fhir_adapter.cli import options, tables
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.running import log_to_stderr, print_json, stdout
from fhir_adapter.cli.runs import Run, run, show
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.ports import Written
from fhir_adapter.present.json_form import run_json
from fhir_adapter.present.rows import criterion_rows

_SHOWN = "09-no-pregnancy-test"


app: typer.Typer = typer.Typer()


@app.command()
@everywhere
def demo(
    *,
    keep: Annotated[
        Path, typer.Option(help="Folder in which the demo's server keeps its resources.")
    ] = Path(".fhir-adapter/demo"),
    fresh: Annotated[bool, typer.Option(help="Forget what earlier demos wrote.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Then serve the pages, the hook and a mock chart.")
    ] = False,
    port: Annotated[
        int, typer.Option(help="Port for --serve; 0 takes a free one.", min=0, max=65535)
    ] = 8080,
    log_json: options.LogJson = False,
    common: Everywhere,
) -> None:
    """Screen the bundled teaching patients for the bundled trial, and write the proposals.

    A small FHIR server is started in this process and loaded with 42 synthetic records. They are
    screened through it, proposals are written to it and kept in a folder: a second run finds
    them there and writes nothing.
    """
    log_to_stderr(as_json=log_json, run=bootstrap.run_id())
    if serve and common.as_json:
        raise SettingInvalid(
            "--json prints one result and --serve goes on", remedy="Leave one of them out."
        )
    with demo_site(keep, fresh=fresh, site=common.site, as_of=common.as_of) as site:
        found = run(site.settings, None, as_of=site.as_of, patients=None, quiet=common.quiet)
        with writing(site.settings, found.bench, write=True) as desk:
            written = list(desk.send_each(found.screened))
        if common.as_json:
            study, zone = found.bench.package.study, found.bench.zone
            issues = found.damage.issues
            print_json(run_json(found.decisions, found.failed, study, zone, written, issues=issues))
            return
        _show(site, found, written)
        if serve:
            _serve(site, port)
    if serve:
        _leave()
    elif not common.quiet:
        _say_next()


def _show(site: DemoSite, found: Run, written: list[Written]) -> None:
    console = stdout()
    console.print(
        f"A FHIR server with {site.resources} resources runs on {site.settings.record_server}"
    )
    show(found)
    one = next(d for d in found.decisions if d.patient == _SHOWN)
    rows = criterion_rows(one, found.bench.package.study, found.bench.zone)
    tables.print_decision(console, one, rows)
    console.print(f"[bold]{written_sentence(written, write=True)}[/]")
    subject = site.first_subject(_SHOWN)
    if subject:
        console.print("The ResearchSubject of the patient above:")
        console.print_json(subject)


def _say_next() -> None:
    stdout().print(
        "Next: `fhir-adapter explain 03-encephalopathy-without-grade "
        "mappings/studies/NCT05985863/cohort --as-of 2026-11-22T07:40`, or your own records: "
        "`fhir-adapter screen FOLDER`, `fhir-adapter server doctor URL`.\n"
        "To look at it in a browser: make demo SERVE=1 (or fhir-adapter demo --serve).",
        markup=False,
    )


def _leave() -> None:
    # only this way of running the demo waits for the service's libraries
    from fhir_adapter.web.running import leave_in_time  # noqa: PLC0415 - as said above

    leave_in_time()


def _serve(site: DemoSite, port: int) -> None:
    # only this way of running the demo waits for the service's libraries
    from fhir_adapter.bootstrap.service import open_service  # noqa: PLC0415 - as said above
    from fhir_adapter.web import create_app  # noqa: PLC0415 - as said above
    from fhir_adapter.web.running import run_until_stopped  # noqa: PLC0415 - as said above

    console = stdout()
    service = open_service(site.settings, as_of=site.as_of, unsigned_alerts=True)
    study = service.benches[0].package.study.id
    try:
        run_until_stopped(
            create_app(service, demo=True),
            host="127.0.0.1",
            port=port,
            said=lambda url: console.print(
                f"The worklist: {url}/worklist/{study}\nA mock chart that calls the hook: "
                f"{url}/try-out\nThe API: {url}/openapi.json\nCtrl-C stops it.",
                markup=False,
            ),
        )
    finally:
        service.close()
