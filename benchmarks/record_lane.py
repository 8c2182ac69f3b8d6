"""One patient through the record lane: from bytes, from parsed resources, on built facts.

Patients come from the seeded generator (about 49 resources each). The yardstick of the same run is
decoding the same bytes to plain JSON, which no adapter can avoid.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.measure import Figure, table, timed
from fhir_adapter import load_study
from fhir_adapter.evaluate.record import judge
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.pull.folder import BundleRecord
from fhir_adapter.sandbox import generator
from fhir_adapter.screening import screen_facts, screen_pulled

PATIENTS = 300
AS_OF = "2026-11-22T07:40"


def main() -> str:
    """The table."""
    study = load_study()
    screener, moment = study.bench.screener, study.moment(AS_OF)
    texts = [encode(chart.bundle()) for chart in generator.patients(PATIENTS)]
    bundles = [decode(text) for text in texts]
    records = [_record(bundle, screener) for bundle in bundles]

    def whole(text: Any) -> object:
        return _screened(decode(text), screener, moment)

    def parsed(bundle: Any) -> object:
        return _screened(bundle, screener, moment)

    def decided(record: Any) -> object:
        return screen_facts(screener, record, moment)

    def judged(record: Any) -> object:
        return judge(screener.compiled, screener.compiled.case(record, moment))

    figures = [
        timed("decode JSON (yardstick)", texts, decode),
        timed("bytes to Decision", texts, whole, target="3"),
        timed("parsed resources to Decision", bundles, parsed, target="1.5"),
        timed("normalise only", bundles, lambda bundle: _record(bundle, screener)),
        timed("facts to Decision", records, decided),
        timed("judging 32 criteria on facts", records, judged, target="0.5"),
    ]
    base = figures[0].p50
    return table(
        f"Record lane, seed study, {PATIENTS} generated patients",
        [_with_ratio(figure, base) for figure in figures],
    )


def _with_ratio(figure: Figure, base: float) -> Figure:
    return dataclasses.replace(figure, ratio=f"{figure.p50 / base:.1f} x decoding")


def _pulled(bundle: Any, screener: Any) -> Any:
    source = BundleRecord(bundle)
    return source.pull(next(iter(source.patients())), screener.needs)


def _screened(bundle: Any, screener: Any, moment: Any) -> object:
    return screen_pulled(screener, _pulled(bundle, screener), moment)


def _record(bundle: Any, screener: Any) -> Any:
    return screener.normalise(_pulled(bundle, screener))
