"""`serve`: the service for EHRs, coordinators and integrators."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fhir_adapter.bootstrap import run_id
from fhir_adapter.bootstrap.service import Service, open_service
from fhir_adapter.bootstrap.watch_loop import Loop
from fhir_adapter.bootstrap.watching import watching
from fhir_adapter.cli import options
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.running import log, log_to_stderr, print_json, stdout
from fhir_adapter.cli.watch import logged
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.settings import Settings
from fhir_adapter.web import create_app
from fhir_adapter.web.running import leave_in_time, run_until_stopped

app: typer.Typer = typer.Typer()

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@app.command()
@everywhere
def serve(  # noqa: PLR0913 - one argument per option
    *,
    server: options.Server = None,
    study: options.Study = None,
    study_server: options.StudyServer = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8080,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Follow the record server as `watch` does; take its notices."),
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="With --watch: write proposals as changes come.")
    ] = False,
    log_json: options.LogJson = False,
    common: Everywhere,
) -> None:
    """Serve the worklist, the CDS hook and the FHIR operations over one record server.

    People and programs need a token (setting tokens), EHRs a client entry (setting clients).
    Studies are a list with commas. TLS is the business of the proxy in front of it. With --watch
    the lists follow the record server, and its Subscriptions may call /notifications.
    """
    log_to_stderr(as_json=log_json, run=run_id())
    in_force = common.settings(record_server=server, study=study, study_server=study_server)
    _check(in_force, host)
    if write and not watch:
        raise SettingInvalid(
            "nothing is written without --watch", where="--write", remedy="Add --watch."
        )
    service = open_service(in_force, as_of=common.as_of)
    try:
        log("serve-started", studies=len(service.benches))
        with ExitStack() as open_:
            if watch:
                open_.enter_context(watched(service, in_force, common.as_of, write=write))
            run_until_stopped(
                create_app(service),
                host=host,
                port=port,
                said=lambda url: _say(url, common),
            )
    finally:
        service.close()
        log("serve-ended")
    leave_in_time()


@contextmanager
def watched(
    service: Service, in_force: Settings, as_of: str | None, *, write: bool
) -> Generator[None]:
    """The record server is followed for as long as the service runs."""
    with watching(in_force, write=write, as_of=as_of, read=service.follow) as made:
        loop = Loop(watching=made, told=logged)
        service.notices = made.notices
        thread = threading.Thread(target=run_loop, args=(loop, service), name="watch")
        thread.start()
        try:
            yield
        finally:
            loop.stop()
            thread.join()


def run_loop(loop: Loop, service: Service) -> None:
    """A watcher that has died is said by /ready: nobody takes old lists for new ones."""
    try:
        loop.forever()
    except Exception as error:  # noqa: BLE001 - whatever it died of
        service.watch_error = type(error).__name__
        log("watch-died", error=service.watch_error)


def _say(url: str, common: Everywhere) -> None:
    """The address, before the first answer: who starts the service can go on."""
    if common.as_json:
        print_json({"url": url})
        sys.stdout.flush()
    else:
        stdout().print(f"Serving on {url}. Ctrl-C stops it.", markup=False)


def _check(in_force: Settings, host: str) -> None:
    if not (in_force.tokens or in_force.clients):
        raise SettingInvalid(
            "nobody could use this service: neither tokens nor clients are set",
            remedy="See docs/operate.md, or look around with `fhir-adapter demo --serve`.",
        )
    if in_force.clients and not in_force.public_url:
        raise SettingInvalid(
            "clients need public_url: it is the audience of their tokens",
            remedy="Set it to the address that EHRs use, for example https://trials.example.",
        )
    for name in ("tokens", "clients"):
        path = getattr(in_force, name)
        if path and not Path(path).is_file():
            raise SettingInvalid(
                f"the {name} file does not exist", where=Path(path).name, remedy="Check the path."
            )
    if host not in _LOOPBACK:
        log("serve-on-network")
