"""The service as an ASGI application: doors, default deny, limits, errors, metrics, logs."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.staticfiles import StaticFiles

from fhir_adapter.bootstrap.service import Service
from fhir_adapter.model.dates import instant
from fhir_adapter.version import __version__
from fhir_adapter.web import hooks, notifications, operations, pages, tryout
from fhir_adapter.web.access import Access, load_tokens
from fhir_adapter.web.clients import Gatekeeper, load_clients
from fhir_adapter.web.limits import RateLimit
from fhir_adapter.web.metrics import Metrics
from fhir_adapter.web.outcomes import Refusal, answer, say_errors

_LOG = logging.getLogger("fhir_adapter.web")
_STATIC = Path(__file__).parent / "static"
_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_COLLECT = (50_000, 20, 20)
"""A prefetch of 500 Observations is some 15,000 objects without a cycle: it is not walked twice."""
_Next = Callable[[Request], Awaitable[Response]]


def create_app(
    service: Service, *, demo: bool = False, refresh: bool = True, rate: RateLimit | None = None
) -> FastAPI:
    """The three doors over one service.

    ``demo``: no sign-in and no client tokens; only for a server on loopback with synthetic
    patients. ``refresh``: screen everybody once the service is up.
    """
    settings = service.settings
    tokens = load_tokens(Path(settings.tokens)) if settings.tokens else {}
    access = Access(tokens, open_to_all=demo)
    metrics = Metrics()
    gate = None if demo else _gatekeeper(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        gc.collect()
        gc.freeze()  # studies live as long as the process: no collection looks at them again
        before = gc.get_threshold()
        gc.set_threshold(*_COLLECT)
        if refresh:
            service.refresh_soon()
        yield
        gc.set_threshold(*before)

    app = FastAPI(
        title="fhir-adapter",
        version=__version__,
        summary="Clinical trial pre-screening over FHIR: CDS Hooks, FHIR operations, worklist.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    page = pages.Pages(service, access, demo=demo)
    say_errors(app, page.instead)
    _around(app, metrics, rate or RateLimit(), service.new_id)
    if gate is not None and gate.origins:
        _let_in(app, gate.origins)
    hook = hooks.Hook(service, gate, metrics, settings.public_url)
    app.include_router(hooks.router(hook))
    app.include_router(operations.router(operations.Operations(service), access))
    app.include_router(_health(service, access, metrics))
    app.include_router(pages.router(page, service, access))
    if service.notices is not None and settings.notify_token:
        app.include_router(notifications.router(service.notices, settings.notify_token))
    if demo:
        app.include_router(tryout.router(page, hook, service))
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    return app


def _let_in(app: FastAPI, origins: Iterable[str]) -> None:
    """Browsers of these clients may call the hook."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type"],
    )


def _gatekeeper(service: Service) -> Gatekeeper:
    settings = service.settings
    clients = load_clients(Path(settings.clients)) if settings.clients else ()
    return Gatekeeper(
        clients,
        public_url=settings.public_url,
        now=lambda: instant(service.clock.now()),
        used=lambda issuer, token, ends: service.ledger.alerts.use_token(
            issuer, token, expires_at=ends
        ),
    )


def _around(app: FastAPI, metrics: Metrics, rate: RateLimit, new_id: Callable[[], str]) -> None:
    @app.middleware("http")
    async def around(request: Request, call_next: _Next) -> Response:
        begun = time.perf_counter()
        name = new_id()
        try:
            if not request.url.path.startswith("/static/"):
                rate.take(request.client.host if request.client else "")
            response = await call_next(request)
        except Refusal as refusal:
            response = answer(refusal.status, refusal.text, refusal.headers)
        except Exception as fault:  # noqa: BLE001 - the last line of defence: nothing is echoed
            _LOG.error("internal-fault", extra={"fault": type(fault).__name__, "request": name})  # noqa: TRY400 - a traceback may hold data of patients
            response = answer(500, "internal-fault: our own mistake; please report the request id")
        route = request.scope.get("route")
        path = str(getattr(route, "path", "none"))
        spent = time.perf_counter() - begun
        metrics.requests.labels(path, str(response.status_code)).inc()
        metrics.seconds.labels(path).observe(spent)
        _LOG.info(
            "request",
            extra={
                "route": path,
                "status": response.status_code,
                "milliseconds": round(spent * 1000),
                "request": name,
            },
        )
        for header, value in _HEADERS.items():
            response.headers.setdefault(header, value)
        response.headers["X-Request-Id"] = name
        return response


def _health(service: Service, access: Access, metrics: Metrics) -> APIRouter:
    made = APIRouter(tags=["Operation"])

    @made.get("/health")
    def health() -> dict[str, str]:
        """The process is up. Open to everybody: it says nothing else."""
        return {"status": "pass"}

    @made.get("/ready")
    def ready() -> Response:
        """503 until the first list is there, and when the watcher has died."""
        if service.watch_error:
            return answer(503, "the watcher has died: the lists do not follow the record server")
        first = service.benches[0].package.study.id
        if service.listed(first) is None:
            return answer(503, "the first list is not ready yet", (("Retry-After", "5"),))
        return Response('{"status":"pass"}', media_type="application/json")

    @made.get("/metrics")
    def prometheus(request: Request) -> Response:
        """Counts and durations; for integrators and monitors."""
        access.need(request, "integrator", "monitor")
        listed = service.listed(service.benches[0].package.study.id)
        metrics.screened.set(0 if listed is None else listed.worklist.total)
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    return made
