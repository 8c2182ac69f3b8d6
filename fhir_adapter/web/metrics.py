"""Prometheus metrics of one process: counts and durations by route, never by patient."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """Its own registry, so that two apps in one process do not meet."""

    def __init__(self) -> None:
        self.registry: CollectorRegistry = CollectorRegistry()
        self.requests: Counter = Counter(
            "fhir_adapter_requests", "Requests", ("route", "status"), registry=self.registry
        )
        self.seconds: Histogram = Histogram(
            "fhir_adapter_request_seconds", "Duration of requests", ("route",),
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.cards: Counter = Counter(
            "fhir_adapter_cards", "Cards shown", ("study",), registry=self.registry
        )
        self.quiet: Counter = Counter(
            "fhir_adapter_quiet", "Decisions that made no card, by reason", ("reason",),
            registry=self.registry,
        )  # fmt: skip
        self.dismissals: Counter = Counter(
            "fhir_adapter_dismissals", "Cards put away, by reason", ("reason",),
            registry=self.registry,
        )  # fmt: skip
        self.acceptances: Counter = Counter(
            "fhir_adapter_acceptances", "Cards reported as accepted", registry=self.registry
        )
        self.screened: Gauge = Gauge(
            "fhir_adapter_screened_patients", "Patients in the last run", registry=self.registry
        )

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
