"""Coordinators' pages: a study's worklist, and one patient's criteria. Read only.

Identifiers are hidden until somebody reveals the list shown, for one purpose and a short time;
that writes an audit row. Addresses carry an opaque handle, never a patient's id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fhir_adapter.bootstrap.judging import Bench
from fhir_adapter.bootstrap.series import plots_of
from fhir_adapter.bootstrap.service import Listed, Service, identity_of
from fhir_adapter.model.decision import Outcome
from fhir_adapter.present.plots import HEIGHT, WIDTH
from fhir_adapter.present.rows import criterion_rows, iso, local_time, without_identifiers
from fhir_adapter.present.sentences import check_sentence, decision_sentence
from fhir_adapter.present.tables import worklist_csv
from fhir_adapter.present.words import DISCLAIMER, OUTCOMES, UNCONFIRMED
from fhir_adapter.present.worklist import WorklistEntry, unproved_sentence
from fhir_adapter.version import __version__
from fhir_adapter.web.access import COOKIE, SESSION_SECONDS, Access, Caller, same_site
from fhir_adapter.web.limits import Form
from fhir_adapter.web.outcomes import Refusal

READERS = ("coordinator", "investigator")
PURPOSES = ("contact the treating team", "check the record", "study monitoring")
_TEMPLATES = Path(__file__).parent / "templates"
_LIST = "list"
_NO_HANDLE = (
    "no such patient here: addresses of patients are made anew whenever the service starts; "
    "open the worklist and choose the patient there"
)
_OURS = re.compile(r"/worklist/[A-Za-z0-9.\-]{1,64}(/[0-9a-f]{24})?").fullmatch
"""Addresses to which somebody may be sent after signing in."""
_PROGRAMS = ("/fhir/", "/cds-services", "/metrics", "/health", "/ready", "/openapi.json", "/static")
"""Routes of programs: their errors are OperationOutcomes, whatever they say that they accept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One patient in the list: the entry, a handle, and a name where names are shown."""

    entry: WorklistEntry
    handle: str
    name: str
    outcome: str
    next_date: str


class Pages:
    """What the templates show."""

    def __init__(self, service: Service, access: Access, *, demo: bool) -> None:
        self._service = service
        self._access = access
        self._demo = demo
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, name: str, *, status: int = 200, **more: Any) -> Response:
        """One page."""
        shared = {"disclaimer": DISCLAIMER, "version": __version__, "demo": self._demo}
        made = self._templates.get_template(name).render(**shared, **more)
        return HTMLResponse(made, status_code=status)

    def instead(self, request: Request, status: int, text: str) -> Response | None:
        """What a browser is shown for an error on our pages; None for any other caller."""
        if request.url.path.startswith(_PROGRAMS) or "text/html" not in _accepted(request):
            return None
        if status == HTTPStatus.UNAUTHORIZED:
            return RedirectResponse(f"/login{_then(request)}", status_code=303)
        title = HTTPStatus(status).phrase
        return self.render("problem.html", status=status, title=title, text=text)

    def sign_in(self, *, failed: bool, wanted: str) -> Response:
        """The form; ``wanted`` is where to go afterwards."""
        status = HTTPStatus.UNAUTHORIZED if failed else HTTPStatus.OK
        return self.render("login.html", status=status, failed=failed, wanted=_ours(wanted))

    def keep(self, answer: Response, session: str) -> Response:
        """The cookie of a session: for no script, no other site and, over https, no other road."""
        answer.set_cookie(
            COOKIE,
            session,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=self._service.settings.public_url.startswith("https://"),
            path="/",
        )
        return answer

    def home(self, caller: Caller) -> Response:
        """The studies that this person may see."""
        studies = [
            (bench.package.study, self._service.listed(bench.package.study.id))
            for bench in self._service.benches
            if caller.sees(bench.package.study.id)
        ]
        return self.render(
            "home.html", studies=studies, progress=self._service.progress, caller=caller
        )

    def worklist(self, request: Request, study: str, *, tab: str, words: str = "") -> Response:
        """One study's list, by tab and filter. Words come in a body: they may be a name."""
        bench = self._service.bench_of(study)
        listed = self._service.listed(study)
        if listed is None:
            return self.render(
                "waiting.html", study=bench.package.study, progress=self._service.progress
            )
        shown = self._access.is_revealed(request, study)
        lines = self._lines(listed, tab=tab, words=words, shown=shown)
        return self.render(
            "rows.html" if request.headers.get("hx-request") else "worklist.html",
            study=bench.package.study,
            confirmed=_confirmed(listed),
            unconfirmed=UNCONFIRMED,
            tabs=_tabs(listed),
            unproved=unproved_sentence(listed.worklist),
            tab=tab,
            words=words,
            lines=lines,
            shown=shown,
            purposes=PURPOSES,
            made_at=local_time(listed.made_at, bench.zone),
            failed=listed.failed,
            total=listed.worklist.total,
            progress=self._service.progress,
        )

    def _lines(self, listed: Listed, *, tab: str, words: str, shown: bool) -> list[Line]:
        wanted = [
            Line(
                entry=entry,
                handle=self._service.handle(entry.patient),
                name=entry.patient if shown else f"patient {entry.place}",
                outcome=OUTCOMES[entry.outcome],
                next_date=iso(entry.next_date),
            )
            for entry in listed.worklist.entries
            if (entry.listed if tab == _LIST else entry.outcome.value == tab)
        ]
        needle = words.casefold()
        return [line for line in wanted if needle in _text_of(line).casefold()]

    def csv(self, request: Request, caller: Caller, study: str) -> Response:
        """The default list; patient ids only while they are revealed."""
        listed = self._service.listed(study)
        if listed is None:
            raise Refusal(503, "the first list is not ready yet", (("Retry-After", "5"),))
        wanted = request.query_params.get("identifiers") == "1"
        shown = wanted and self._access.is_revealed(request, study)
        if wanted and not shown:
            raise Refusal(403, "reveal the identifiers of this list first")
        self._service.ledger.audit(
            who=caller.name, what="export", patient="", purpose=f"worklist {study}"
        )
        headers = {"Content-Disposition": f'attachment; filename="worklist-{study}.csv"'}
        text = worklist_csv(listed.worklist, identifiers=shown)
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

    def reveal(self, request: Request, caller: Caller, study: str, body: bytes) -> Response:
        """Show identifiers of this list to this session for a while; one audit row."""
        purpose, handle = _field(body, "purpose"), _field(body, "handle")
        if purpose not in PURPOSES:
            raise Refusal(400, "choose one of the purposes")
        session, is_new = self._access.session_or_new(request)
        self._service.ledger.audit(
            who=caller.name, what="reveal", patient="", purpose=f"{study}: {purpose}"
        )
        self._access.reveal(session, study)
        back = f"/{handle}" if handle and self._service.patient_of(handle) else ""
        answer = RedirectResponse(f"/worklist/{study}{back}", status_code=303)
        return self.keep(answer, session) if is_new else answer

    def patient(self, request: Request, caller: Caller, study: str, handle: str) -> Response:
        """One patient's criteria, judged on the record as it is now."""
        bench = self._service.bench_of(study)
        patient = self._service.patient_of(handle)
        if patient is None:
            raise Refusal(404, _NO_HANDLE)
        shown = self._access.is_revealed(request, study)
        pulled, screened = self._service.screen_with_record(patient, bench)
        assert screened.decision is not None
        self._service.ledger.audit(
            who=caller.name, what="read", patient=patient, purpose=f"criteria of {study}"
        )
        decision = screened.decision
        rows = criterion_rows(decision, bench.package.study, bench.zone)
        return self.render(
            "patient.html",
            study=bench.package.study,
            handle=handle,
            decision=decision,
            sentence=decision_sentence(decision),
            rows=rows if shown else without_identifiers(rows),
            checks=[check_sentence(check) for check in decision.checks],
            plots=plots_of(bench, screened),
            width=WIDTH,
            height=HEIGHT,
            unconfirmed=UNCONFIRMED,
            shown=shown,
            identity=identity_of(pulled.resources, patient) if shown else {},
            purposes=PURPOSES,
            as_of=local_time(decision.as_of, bench.zone),
            next_date=iso(decision.next_date),
            pointers=_pointers(bench, decision.pointers),
        )


def _field(body: bytes, name: str) -> str:
    """A field of a form; "" where it is not there."""
    return parse_qs(body.decode("utf-8", "replace")).get(name, [""])[0]


def _pointers(bench: Bench, ids: tuple[str, ...]) -> list[str]:
    return [one.title for one in bench.package.study.pointers if one.id in ids]


def _text_of(line: Line) -> str:
    return f"{line.name} {line.outcome} {line.entry.sentence} {line.entry.next_question}"


def _tabs(listed: Listed) -> list[tuple[str, str, int]]:
    """The default list, then every outcome; the outcomes and the failures add up to everyone."""
    counts = dict(listed.worklist.counts)
    tabs = [(_LIST, "worklist", len(listed.worklist.listed))]
    return tabs + [(outcome.value, OUTCOMES[outcome], counts[outcome]) for outcome in OUTCOMES]


def _confirmed(listed: Listed) -> bool:
    decided = [one.decision for one in listed.screened.values() if one.decision is not None]
    judged = [one for one in decided if one.outcome is not Outcome.NOT_SCREENED]
    return bool(judged) and all(one.confirmed for one in judged)


def _accepted(request: Request) -> str:
    return request.headers.get("accept", "").lower()


def _then(request: Request) -> str:
    """Where to go after signing in, as a query; nothing for the first page and for forms."""
    wanted = _ours(request.url.path) if request.method == "GET" else ""
    return f"?next={wanted}" if wanted else ""


def _ours(address: str) -> str:
    """An address on our pages that names nobody; "" for any other."""
    return address if _OURS(address) else ""


def router(pages: Pages, service: Service, access: Access) -> APIRouter:
    """The pages and their roles."""
    made = APIRouter(include_in_schema=False)
    _session_routes(made, pages, access)
    _list_routes(made, pages, service, access)
    return made


def _session_routes(made: APIRouter, pages: Pages, access: Access) -> None:
    @made.get("/")
    def home(request: Request) -> Response:
        return pages.home(access.need(request, *READERS))

    @made.get("/login")
    def login_form(request: Request) -> Response:
        return pages.sign_in(failed=False, wanted=request.query_params.get("next", ""))

    @made.post("/login")
    def login(request: Request, body: Form) -> Response:
        same_site(request)
        token, wanted = _field(body, "token"), _field(body, "next")
        holder = access.holder(token)
        if holder is None:
            return pages.sign_in(failed=True, wanted=wanted)
        answer = RedirectResponse(_ours(wanted) or "/", status_code=303)
        return pages.keep(answer, access.start(holder))

    @made.post("/logout")
    def logout(request: Request) -> Response:
        same_site(request)
        access.end(request)
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(COOKIE, path="/")
        return answer


def _list_routes(made: APIRouter, pages: Pages, service: Service, access: Access) -> None:
    @made.get("/worklist/{study}")
    def worklist(request: Request, study: str) -> Response:
        access.need(request, *READERS, study=study)
        return pages.worklist(request, study, tab=request.query_params.get("tab", _LIST))

    @made.post("/worklist/{study}")
    def filtered(request: Request, study: str, body: Form) -> Response:
        same_site(request)
        access.need(request, *READERS, study=study)
        tab, words = _field(body, "tab") or _LIST, _field(body, "q")[:80]
        return pages.worklist(request, study, tab=tab, words=words)

    @made.get("/worklist/{study}/worklist.csv")
    def csv(request: Request, study: str) -> Response:
        return pages.csv(request, access.need(request, *READERS, study=study), study)

    @made.post("/worklist/{study}/reveal")
    def reveal(request: Request, study: str, body: Form) -> Response:
        same_site(request)
        return pages.reveal(request, access.need(request, *READERS, study=study), study, body)

    @made.post("/worklist/{study}/refresh")
    def refresh(request: Request, study: str) -> Response:
        same_site(request)
        access.need(request, *READERS, study=study)
        service.refresh_soon()
        return RedirectResponse(f"/worklist/{study}", status_code=303)

    @made.get("/worklist/{study}/{handle}")
    def patient(request: Request, study: str, handle: str) -> Response:
        return pages.patient(request, access.need(request, *READERS, study=study), study, handle)
