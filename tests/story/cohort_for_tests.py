"""The teaching cohort, judged once per test process."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any

from fhir_adapter import bootstrap
from fhir_adapter.evaluate.record import JudgedStudy
from fhir_adapter.model.decision import Decision
from fhir_adapter.screening import screen_everyone
from fhir_adapter.settings import Settings

from teaching import make_cohort

COHORT = make_cohort.COHORT
EXPECTED: dict[str, Any] = tomllib.loads((COHORT / "expected.toml").read_text("utf-8"))


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What the engine says about everybody."""

    bench: bootstrap.Bench
    decisions: dict[str, Decision]
    judged: dict[str, JudgedStudy]
    """Of those whom no stop keeps from being judged."""


@cache
def decided() -> Decided:
    bench = bootstrap.bench(Settings(site=EXPECTED["site"]))
    as_of = bootstrap.parse_as_of(EXPECTED["as-of"], bench.mappings.site.zone, bench.clock)
    source = bootstrap.folder_records(COHORT, bench.mappings)
    screened = screen_everyone(bench.screener, source, as_of)
    everyone = list(screened)
    found = {one.patient: one.decision for one in everyone if one.decision is not None}
    judged = {one.patient: one.judged for one in everyone if one.judged is not None}
    return Decided(bench=bench, decisions=found, judged=judged)
