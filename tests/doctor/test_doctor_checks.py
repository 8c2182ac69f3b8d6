"""Every check is seen to work and seen to fail: one that cannot fail says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_adapter.doctor import CHECKS, examine, ids
from fhir_adapter.doctor.pairs import PAIRS
from fhir_adapter.model.server import Verdict
from fhir_adapter.sandbox import HAPI, NOT_CLAIMED, Habits
from tests.doctor.doctor_worlds import (
    EMPTY,
    TABLE,
    Layer,
    Once,
    Remembering,
    Subscribing,
    Transacting,
    World,
    answer,
    answers,
    as_create,
    dropping_unknown,
    drops,
    edits,
    empty_searches,
    filled,
    forgetting_self,
    ignoring_searches,
    moved,
    refused_searches,
    refuses,
    seen,
    with_headers,
)

WORKS, FAILS, UNSURE = Verdict.WORKS, Verdict.FAILS, Verdict.CANNOT_TELL
ELSEWHERE = {"write.if-none-match", "validation.unknown-element", "validation.dangling"}
"""These fail on the sandbox, as on HAPI."""


def link(name: str, url: str | None) -> Layer:
    """A link of every Bundle replaced, or taken away."""

    def change(body: dict[str, Any]) -> None:
        links = [one for one in body.get("link", []) if one["relation"] != name or url]
        for one in links:
            if one["relation"] == name:
                one["url"] = url
        body["link"] = links

    return edits(change)


def without(*names: str, path: str = "", method: str = "GET") -> Layer:
    def change(body: dict[str, Any]) -> None:
        for name in names:
            body.pop(name, None)

    return edits(change, path=path, method=method)


def total(more: int) -> Layer:
    def change(body: dict[str, Any]) -> None:
        if "total" in body:
            body["total"] += more

    return edits(change)


def twice(body: dict[str, Any]) -> None:
    body["entry"] = body.get("entry", []) * 2


def no_tags(body: dict[str, Any]) -> None:
    body.get("meta", {}).pop("tag", None)


def of_types(name: str) -> Layer:
    def change(body: dict[str, Any]) -> None:
        for one in body["rest"][0]["resource"]:
            one.pop(name, None)

    return edits(change, path="metadata")


def habit(**habits: Any) -> dict[str, Any]:
    return habits


ELSEWHERE_LINK = {"Content-Location": "http://127.0.0.1:9/x"}
FAILURES: list[tuple[str, tuple[Layer, ...], dict[str, Any]]] = [
    ("metadata.answers", (refuses(404),), {}),
    ("metadata.present", (refuses(404, path="metadata"),), {}),
    ("metadata.present", (answers(200, EMPTY, path="metadata"),), {}),
    ("metadata.fhir-version", (edits(lambda b: b.update(fhirVersion="5.0.0")),), {}),
    ("metadata.fhir-version", (edits(lambda b: b.update(fhirVersion="canary")),), {}),
    ("metadata.types", (edits(lambda b: b.update(rest=[])),), {}),
    ("metadata.parameters", (of_types("searchParam"),), {}),
    ("metadata.interactions", (of_types("interaction"),), {}),
    ("metadata.unknown-type", (answers(200, EMPTY, path="FhirAdapterCanary"),), {}),
    ("read.read", (refuses(500, path="Patient/"),), {}),
    ("read.json", (with_headers(Content_Type="text/html"),), {}),
    ("read.etag", (), habit(no_versions=True)),
    ("read.etag", (with_headers(ETag='"1"', etag='"1"'),), {}),
    ("read.vread", (refuses(404, path="_history/"),), {}),
    ("read.history", (answers(200, EMPTY, path="_history"),), {}),
    ("read.not-modified", (drops("If-None-Match"),), {}),
    ("read.missing", (answers(200, {"resourceType": "Patient"}, path="nobody"),), {}),
    ("query.count", (edits(twice, path="_count=1"),), {}),
    ("query.total", (without("total"),), {}),
    ("query.total", (total(1),), {}),
    ("query.summary-count", (without("total"),), {}),
    ("query.unknown-lenient", (dropping_unknown(echo=True),), {}),
    ("query.unknown-lenient", (dropping_unknown(echo=False), link("self", None)), {}),
    ("query.unknown-strict", (dropping_unknown(echo=False),), {}),
    ("query.self", (link("self", None),), {}),
    ("query.self", (forgetting_self,), {}),
    ("query.patient-absolute", (), habit(knows_no_absolute=True)),
    ("query.last-updated", (), habit(no_last_updated=True)),
    ("query.last-updated", (), habit(needs_patient=True)),
    ("query.last-updated-patient", (), habit(no_last_updated=True)),
    ("query.post", (refuses(405, path="_search"),), {}),
    ("paging.next", (link("next", None),), {}),
    ("paging.next", (refuses(410, path="_page"),), {}),
    ("paging.next", (link("next", "http://127.0.0.1:9/other"),), {}),
    ("paging.next", (link("next", "Observation?_count=1"), edits(twice)), {}),
    ("paging.same-origin", (link("next", "http://127.0.0.1:9/other"),), {}),
    ("paging.whole", (total(1),), {}),
    ("paging.whole", (edits(twice),), {}),
    ("paging.whole", (refused_searches,), {}),
    ("paging.total", (without("total"),), {}),
    ("paging.total", (total(-1),), {}),
    ("paging.total", (refused_searches,), {}),
    ("paging.stable", (Once(),), {}),
    ("paging.size", (refuses(400, path="_count=500"),), {}),
    ("write.canary", (), habit(no_delete=True)),
    ("write.canary", (refuses(403, method="POST"),), {}),
    ("write.create", (refuses(403, method="POST"),), {}),
    ("write.create", (answers(201, None, method="POST"),), {}),
    ("write.create", (answers(200, {"resourceType": "ResearchSubject", "id": "1"}, method="POST"),),
     {}),
    ("write.found-at-once", (empty_searches,), {}),
    ("write.conditional-create", (), habit(no_conditional_create=True)),
    ("write.conditional-create", (refuses(400, method="POST"),), {}),
    ("write.conditional-create-ambiguous", (), habit(no_conditional_create=True)),
    ("write.update", (answers(200, None, method="PUT"),), {}),
    ("write.update", (refuses(405, method="PUT"),), {}),
    ("write.versions", (), habit(no_versions=True)),
    ("write.versions", (answers(200, None, method="PUT"),), {}),
    ("write.if-match", (refuses(412, method="PUT"),), {}),
    ("write.if-match-stale", (drops("If-Match"),), {}),
    ("write.if-none-match", (), {}),
    ("write.conditional-update", (refuses(405, method="PUT"),), {}),
    ("write.conditional-update", (moved("PUT", as_create),), {}),
    ("write.conditional-update-ambiguous", (moved("PUT", as_create),), {}),
    ("write.client-id", (refuses(405, method="PUT"),), {}),
    ("write.client-id", (empty_searches,), {}),
    ("write.delete", (), habit(no_delete=True)),
    ("write.delete", (answers(204, None, method="DELETE"),), {}),
    ("write.delete-unfound", (answers(204, None, method="DELETE"),), {}),
    ("write.delete-stale", (), habit(ignores_match_on_delete=True)),
    ("write.conditional-delete", (answers(204, None, method="DELETE"),), {}),
    ("write.conditional-delete", (refuses(405, method="DELETE"),), {}),
    ("write.delete-referenced", (refuses(409, method="DELETE"),), {}),
    ("bundle.reads", (), habit(no_bundles=True)),
    ("bundle.reads", (Transacting(), edits(lambda b: b.update(id=None), path="Patient/")), {}),
    ("bundle.search", (), habit(no_bundles=True)),
    ("bundle.search", (Transacting(tells=False),), {}),
    ("bundle.search", (drops("Cache-Control"),), habit(caches_searches=True)),
    ("bundle.transaction", (), habit(no_bundles=True)),
    ("bundle.transaction", (Transacting(resolves=False),), {}),
    ("bundle.transaction", (answers(200, EMPTY, method="POST"),), {}),
    ("bundle.rollback", (Transacting(atomic=False),), {}),
    ("bundle.rollback", (Transacting(as_batch=True),), {}),
    ("bundle.conditional", (), habit(no_bundles=True)),
    ("bundle.conditional", (Transacting(conditional=False),), {}),
    ("bundle.batch", (), habit(no_bundles=True)),
    ("bundle.batch", (Transacting(tells=False),), {}),
    *((f"kept.{kind}", (without("status", "agent", "subject", "target", path=f"{kind}/"),), {})
      for kind in ("ResearchSubject", "GuidanceResponse", "Provenance", "List", "Task", "Device",
                   "QuestionnaireResponse")),
    ("kept.ResearchSubject", (refuses(404, path="ResearchSubject/"),), {}),
    ("kept.ResearchSubject", (), habit(refuses_types=frozenset(("ResearchSubject",)))),
    ("kept.type-history", (), habit(no_type_history=True)),
    ("kept.type-history", (edits(lambda b: b.update(entry=[]), path="/_history"),), {}),
    ("kept.type-history", (refuses(200, path="/_history"),), {}),
    ("kept.reference-version", (), habit(strips_versions=True)),
    ("kept.reference-version", (refuses(422, method="POST"),), {}),
    ("kept.decimal", (), habit(normalises_numbers=True)),
    ("kept.tag", (edits(no_tags),), {}),
    ("kept.tag-replaced", (), habit(keeps_old_tags=True)),
    ("kept.tag-replaced", (edits(no_tags),), {}),
    ("validation.required-code", (), habit(accepts_any_code=True)),
    ("validation.missing", (), habit(accepts_missing=True)),
    ("validation.unknown-element", (), {}),
    ("validation.date", (answers(201, {"resourceType": "Patient", "id": "1"}, method="POST"),), {}),
    ("validation.dangling", (), {}),
    ("validation.no-consent", (), habit(refuses_types=frozenset(("ResearchSubject",)))),
    ("caching.no-cache", (drops("Cache-Control"),), habit(caches_searches=True)),
    ("caching.repeat", (), habit(caches_searches=True)),
    ("caching.read", (Remembering(),), {}),
    ("operation.everything", (), {}),
    ("operation.everything", (answers(200, EMPTY, path="$everything"),), {}),
    ("operation.export", (answers(200, EMPTY, path="$export"),), {}),
    ("operation.export", (answers(202, None, path="$export"),), {}),
    ("operation.export", (answers(202, None, path="$export", **ELSEWHERE_LINK),), {}),
    ("operation.export-patient", (refuses(404, path="$export"),), {}),
    ("subscription.fires", (), {}),
    ("subscription.fires", (Subscribing(active=False),), {}),
    ("subscription.fires", (Subscribing(fires=False),), {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "layers", "habits"),
    FAILURES,
    ids=[f"{number}-{row[0]}" for number, row in enumerate(FAILURES)],
)
def test_a_server_that_does_it_wrong_fails(
    check: str, layers: tuple[Layer, ...], habits: dict[str, Any]
) -> None:
    found = seen(check, *layers, **habits)
    assert found.verdict is FAILS, found.reason


BY_SEARCH = {"empty": empty_searches, "ignoring": ignoring_searches, "refused": refused_searches}
LEFT_TO_OTHERS = {
    "empty": {"query.unknown-strict"},
    "ignoring": {
        "query.unknown-lenient", "query.total", "query.self", "query.count", "query.date-zone",
    },
    "refused": {"query.unknown-lenient", "query.unknown-strict"},
}  # fmt: skip
"""Which searches say nothing about which checks; each of these fails in the table above."""


@pytest.fixture(scope="module", params=BY_SEARCH)
def searches(request: pytest.FixtureRequest) -> tuple[str, dict[str, Verdict]]:
    world, exam = filled()
    world.layers = [BY_SEARCH[request.param]]
    names = [name for name in TABLE if name.startswith(("query.", "search."))]
    return request.param, {name: TABLE[name].look(exam).verdict for name in names}


def test_a_server_that_searches_wrongly_passes_no_search(
    searches: tuple[str, dict[str, Verdict]],
) -> None:
    how, found = searches
    passed = {name for name, verdict in found.items() if verdict is not FAILS}
    assert passed <= LEFT_TO_OTHERS[how]


def test_a_parameter_that_is_left_out_of_self_is_not_used() -> None:
    found = seen("search.Observation.category", forgetting_self)
    assert (found.verdict, found.reason) == (FAILS, "left out of the self link: not used")


def test_every_check_is_seen_to_fail() -> None:
    by_search = {name for name in ids() if name.startswith(("query.", "search."))}
    later = {"metadata.honest", "metadata.complete", "operation.export-cancel",
             "subscription.created"}  # fmt: skip
    assert set(ids()) - {row[0] for row in FAILURES} - by_search == later


@pytest.fixture(scope="module")
def tidy() -> tuple[World, dict[str, Verdict]]:
    world = World()
    report = examine(world, token="t", write=True, sleep=lambda _: None)  # type: ignore[arg-type] # stands for the real one
    assert report.left_behind == ()
    return world, dict(report.profile.verdicts)


@pytest.mark.slow
def test_the_sandbox_does_what_it_claims(tidy: tuple[World, dict[str, Verdict]]) -> None:
    found = tidy[1]
    other = {name for name, verdict in found.items() if verdict is not WORKS}
    assert other == {*NOT_CLAIMED, *ELSEWHERE, "paging.size"}


def test_nothing_of_ours_is_left(tidy: tuple[World, dict[str, Verdict]]) -> None:
    assert tidy[0].standing() == {}


@pytest.mark.parametrize(
    ("check", "layers"),
    [
        ("bundle.reads", (Transacting(),)),
        ("bundle.search", (Transacting(),)),
        ("bundle.transaction", (Transacting(),)),
        ("bundle.rollback", (Transacting(),)),
        ("bundle.conditional", (Transacting(),)),
        ("bundle.batch", (Transacting(),)),
        ("subscription.fires", (Subscribing(),)),
        ("write.if-none-match", (refuses(412, method="PUT"),)),
        ("validation.unknown-element", (refuses(422, method="POST"),)),
        ("validation.dangling", (refuses(422, method="POST"),)),
        ("query.unknown-lenient", (dropping_unknown(echo=False),)),
    ],
)
def test_what_the_sandbox_lacks_works_elsewhere(check: str, layers: tuple[Layer, ...]) -> None:
    found = seen(check, *layers)
    assert found.verdict is WORKS, found.reason


@pytest.mark.parametrize("check", ["query.quantity", "query.composite", "query.chained",
                                   "query.has"])  # fmt: skip
def test_narrow_searches_work_where_both_canaries_hold(check: str) -> None:
    def layer(asked: Any, ask: Any) -> Any:
        kind = "Patient" if "_has" in asked.url else "Observation"
        wrong = any(word in asked.url for word in ("ge2.50", "=male", "nobody"))
        entry = [] if wrong else [{"resource": {"resourceType": kind, "id": number}}
                                  for number in ("1", "11")]  # fmt: skip
        return ask(asked) if "?" not in asked.url else answer(200, {**EMPTY, "entry": entry})

    world, exam = filled()
    exam.specimens["Observation"] = {**exam.specimens["Observation"], "id": "11"}
    exam.specimens["Observation"]["subject"] = {"reference": "Patient/1"}
    world.layers = [layer]
    assert TABLE[check].look(exam).verdict is WORKS


def test_every_pair_of_the_shapes_page_is_a_check() -> None:
    assert len(PAIRS) == len({pair.id for pair in PAIRS})
    assert len(CHECKS) == len(set(ids()))
    assert {pair.id for pair in PAIRS} <= set(ids())


@pytest.mark.slow
def test_the_habits_of_hapi_are_those_the_doctor_sees() -> None:
    world = World(**{name: getattr(HAPI, name) for name in Habits.__slots__})
    report = examine(world, token="t", write=True, sleep=lambda _: None)  # type: ignore[arg-type] # stands for the real one
    failing = {one.id for one in report.findings if one.verdict is FAILS} - set(NOT_CLAIMED)
    assert failing == {
        *ELSEWHERE,
        "kept.reference-version",
        "kept.tag-replaced",
        "query.patient-absolute",
        "write.delete-stale",
        "caching.repeat",
        "validation.missing",
    }
