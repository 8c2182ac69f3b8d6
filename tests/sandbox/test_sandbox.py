"""The sandbox as a client sees it: reads, searches, versions, conditions, habits, refusals."""

from __future__ import annotations

import gzip
import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fhir_adapter.errors import RecordFault, ServerUnreachable
from fhir_adapter.sandbox import Habits, Interactions, RunningSandbox, load, save
from fhir_adapter.sandbox.app import create_app
from fhir_adapter.sandbox.queries import Pages
from fhir_adapter.sandbox.refusal import Refusal
from fhir_adapter.sandbox.search_table import TABLE

Resource = dict[str, Any]
ME = {"reference": "Patient/p"}
LOINC = "http://loinc.org"


def server(*resources: Resource, **habits: Any) -> TestClient:
    ticks = count()
    made = Interactions(
        now=lambda: f"2026-11-22T00:00:{next(ticks) % 60:02d}.000Z", habits=Habits(**habits)
    )
    made.base = "http://testserver"
    for resource in resources:
        made.store.load(resource)
    return TestClient(create_app(made), raise_server_exceptions=False)


def observation(number: int, **more: Any) -> Resource:
    return {
        "resourceType": "Observation", "id": f"o{number}", "status": "final", "subject": ME,
        "code": {"coding": [{"system": LOINC, "code": "1975-2"}]},
        "effectiveDateTime": f"2026-01-{number:02d}", **more,
    }  # fmt: skip


PATIENT = {"resourceType": "Patient", "id": "p", "name": [{"family": "Nobody"}], "active": True}
LABS = [observation(n) for n in range(1, 8)]


def ids(answer: Any) -> list[str]:
    return [entry["resource"]["id"] for entry in answer.json().get("entry", ())]


def outcome(answer: Any) -> str:
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    return str(body["issue"][0]["code"])


SEARCHES: dict[str, tuple[str, list[str]]] = {
    "by patient": ("Observation?patient=p&_count=3", ["o1", "o2", "o3"]),
    "by reference": ("Observation?subject=Patient/p&_count=1", ["o1"]),
    "by absolute reference": ("Observation?patient=http://testserver/Patient/p&_count=1", ["o1"]),
    "by another patient": ("Observation?patient=q", []),
    "by code": ("Observation?code=1975-2&_count=1", ["o1"]),
    "by system and code": (f"Observation?code={LOINC}|1975-2&_count=1", ["o1"]),
    "by another system": ("Observation?code=urn:x|1975-2", []),
    "by system alone": (f"Observation?code={LOINC}|&_count=1", ["o1"]),
    "by code of no system": ("Observation?code=|1975-2", []),
    "by one of two codes": ("Observation?code=x,1975-2&_count=1", ["o1"]),
    "by day": ("Observation?date=2026-01-03", ["o3"]),
    "by another day": ("Observation?date=ne2026-01-03&_count=2", ["o1", "o2"]),
    "from a day": ("Observation?date=ge2026-01-06", ["o6", "o7"]),
    "after a day": ("Observation?date=gt2026-01-06", ["o7"]),
    "up to a day": ("Observation?date=le2026-01-02", ["o1", "o2"]),
    "before a day": ("Observation?date=lt2026-01-02", ["o1"]),
    "newest first": ("Observation?_sort=-date&_count=2", ["o7", "o6"]),
    "by id": ("Observation?_id=o4", ["o4"]),
    "by boolean": ("Patient?active=true", ["p"]),
    "by name": ("Patient?name=nob", ["p"]),
    "changed since": ("Observation?_lastUpdated=ge2030-01-01", []),
    "by status": ("Observation?status=final&_count=1", ["o1"]),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_find_what_they_name(name: str) -> None:
    url, expected = SEARCHES[name]
    answer = server(PATIENT, *LABS).get(f"/{url}")
    assert answer.status_code == 200
    assert ids(answer) == expected


def test_a_search_may_be_posted() -> None:
    answer = server(*LABS).post("/Observation/_search", content=b"date=2026-01-03&_count=5")
    assert ids(answer) == ["o3"]


def test_pages_follow_their_links_to_the_end_and_the_total_is_everyone() -> None:
    client = server(*LABS)
    answer = client.get("/Observation?patient=p&code=1975-2&_count=3")
    assert answer.json()["total"] == 7
    assert "code=1975-2" in answer.json()["link"][0]["url"]
    seen = ids(answer)
    while links := [x["url"] for x in answer.json()["link"] if x["relation"] == "next"]:
        answer = client.get(links[0])
        seen += ids(answer)
    assert seen == [f"o{n}" for n in range(1, 8)]


def test_links_may_be_relative_and_pages_may_be_small() -> None:
    client = server(*LABS, relative_links=True, max_page=2)
    answer = client.get("/Observation?_count=5")
    assert len(ids(answer)) == 2
    assert not answer.json()["link"][1]["url"].startswith("http")


def test_counts_come_without_resources() -> None:
    answer = server(*LABS).get("/Observation?_summary=count")
    assert answer.json()["total"] == 7
    assert "entry" not in answer.json()


def test_includes_follow_references_once() -> None:
    drug = {"resourceType": "Medication", "id": "m"}
    orders = [
        {"resourceType": "MedicationRequest", "id": f"r{n}", "status": "active", "subject": ME,
         "medicationReference": {"reference": "Medication/m"}}
        for n in (1, 2, 3)
    ]  # fmt: skip
    client = server(drug, *orders)
    answer = client.get("/MedicationRequest?_include=MedicationRequest:medication&_count=2")
    modes = [(e["resource"]["id"], e["search"]["mode"]) for e in answer.json()["entry"]]
    assert modes == [("r1", "match"), ("r2", "match"), ("m", "include")]
    more = client.get(answer.json()["link"][1]["url"])
    assert ids(more) == ["r3", "m"]


REFUSED: dict[str, tuple[str, int, str]] = {
    "an unknown parameter": ("Observation?colour=red", 400, "not-supported"),
    "an unknown type": ("Basic", 404, "not-supported"),
    "a date that is none": ("Observation?date=soon", 400, "invalid"),
    "a count that is none": ("Observation?_count=few", 400, "invalid"),
    "a sort by code": ("Observation?_sort=code", 400, "not-supported"),
    "an unknown include": ("Observation?_include=Observation:x", 400, "not-supported"),
    "a forgotten page": ("Observation?_page=p99", 410, "deleted"),
    "a resource that is not there": ("Patient/none", 404, "not-found"),
    "a version that is not there": ("Patient/p/_history/9", 404, "not-found"),
    "the history of nothing": ("Patient/none/_history", 404, "not-found"),
    "a path of nothing": ("Patient/p/x/y/z", 404, "not-supported"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused_never_ignored(name: str) -> None:
    url, status, code = REFUSED[name]
    answer = server(PATIENT, observation(1)).get(f"/{url}")
    assert (answer.status_code, outcome(answer)) == (status, code)


def test_only_the_newest_pages_are_kept() -> None:
    pages = Pages()
    first = pages.keep(())
    for _ in range(10_000):
        pages.keep(())
    with pytest.raises(Refusal):
        pages.of(first)


# ------------------------------------------------------------------------------- writing


def body(**more: Any) -> Resource:
    return {
        "resourceType": "ResearchSubject", "status": "candidate", "individual": ME,
        "study": {"reference": "ResearchStudy/s"},
        "identifier": [{"system": "urn:k", "value": "1"}], **more,
    }  # fmt: skip


def test_a_resource_is_made_read_changed_and_deleted_with_its_versions() -> None:
    client = server()
    made = client.post("/ResearchSubject", json=body(id="ignored"))
    assert made.status_code == 201
    place = f"/ResearchSubject/{made.json()['id']}"
    assert made.headers["Location"].endswith(f"{place}/_history/1")
    assert made.headers["ETag"] == 'W/"1"'
    changed = {**made.json(), "status": "eligible"}
    stale = client.put(place, json=changed, headers={"If-Match": 'W/"9"'})
    assert (stale.status_code, outcome(stale)) == (412, "conflict")
    done = client.put(place, json=changed, headers={"If-Match": 'W/"1"'})
    assert (done.status_code, done.headers["ETag"]) == (200, 'W/"2"')
    assert client.get(f"{place}/_history/1").json()["status"] == "candidate"
    assert client.get(f"{place}/_history").json()["total"] == 2
    assert client.delete(place, headers={"If-Match": 'W/"1"'}).status_code == 412
    assert client.delete(place, headers={"If-Match": 'W/"2"'}).status_code == 204
    assert client.delete(place).status_code == 204
    assert (client.get(place).status_code, client.get(place).json()["issue"][0]["code"]) == (
        410,
        "deleted",
    )
    assert ids(client.get("/ResearchSubject")) == []
    back = client.put(place, json=changed)
    assert back.status_code == 201


def test_a_conditional_create_makes_one_and_only_one() -> None:
    client = server()
    condition = {"If-None-Exist": "identifier=urn:k|1"}
    assert client.post("/ResearchSubject", json=body(), headers=condition).status_code == 201
    again = client.post(
        "/ResearchSubject", json=body(), headers={"If-None-Exist": "x?identifier=urn:k|1"}
    )
    assert again.status_code == 200
    client.post("/ResearchSubject", json=body())
    many = client.post("/ResearchSubject", json=body(), headers=condition)
    assert (many.status_code, outcome(many)) == (412, "multiple-matches")
    assert len(ids(client.get("/ResearchSubject"))) == 2


def test_a_conditional_update_makes_or_changes_one() -> None:
    client = server()
    url = "/ResearchSubject?identifier=urn:k|1"
    assert client.put(url, json=body()).status_code == 201
    assert client.put(url, json=body(status="eligible")).status_code == 200
    client.post("/ResearchSubject", json=body())
    assert client.put(url, json=body()).status_code == 412
    assert client.put("/ResearchSubject", json=body()).status_code == 400


BAD_BODIES: dict[str, tuple[Any, int, str]] = {
    "no JSON": (b"{", 400, "structure"),
    "a list": (b"[]", 400, "structure"),
    "another type": (json.dumps({"resourceType": "Patient"}).encode(), 400, "invalid"),
    "without study": (json.dumps({**body(), "study": {}}).encode(), 422, "required"),
    "an invented status": (json.dumps(body(status="great")).encode(), 422, "code-invalid"),
    "too deep": (
        json.dumps(body(extension=json.loads("[" * 80 + "]" * 80))).encode(), 400, "too-long",
    ),
    "too long": (b" " * (21 * 1024 * 1024), 413, "too-long"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_body_is_refused_with_its_reason(name: str) -> None:
    sent, status, code = BAD_BODIES[name]
    answer = server().post("/ResearchSubject", content=sent)
    assert (answer.status_code, outcome(answer)) == (status, code)


def test_an_id_in_the_body_must_be_the_one_in_the_address() -> None:
    client = server()
    assert client.put("/ResearchSubject/a", json=body(id="b")).status_code == 400
    assert client.put("/ResearchSubject/a b", json=body(id="a b")).status_code == 400


def test_the_history_of_a_type_tells_what_was_deleted() -> None:
    client = server(*LABS[:1])
    made = client.post("/ResearchSubject", json=body()).json()
    client.put(f"/ResearchSubject/{made['id']}", json={**made, "status": "eligible"})
    client.delete(f"/ResearchSubject/{made['id']}")
    told = client.get("/ResearchSubject/_history").json()
    assert (told["type"], told["total"]) == ("history", 3)
    gone, changed, first = told["entry"]
    assert (gone["request"]["method"], "resource" in gone) == ("DELETE", False)
    assert gone["request"]["url"] == f"ResearchSubject/{made['id']}"
    assert [one["resource"]["status"] for one in (changed, first)] == ["eligible", "candidate"]
    since = changed["resource"]["meta"]["lastUpdated"].replace("Z", "%2B00:00")
    later = client.get(f"/ResearchSubject/_history?_since={since}").json()
    assert later["total"] == 2


@pytest.mark.parametrize("since", ["lately", "2026-11-22", "2026-11-22T00:00:00"])
def test_a_history_since_no_instant_is_refused(since: str) -> None:
    assert server().get(f"/Patient/_history?_since={since}").status_code == 400


# -------------------------------------------------------------------------------- habits


def test_habits_of_real_servers_can_be_put_on() -> None:
    versioned = body(evidence="Patient/p/_history/3", number=1)
    stripped = server(strips_versions=True).post("/ResearchSubject", json=versioned)
    assert stripped.json()["evidence"] == "Patient/p"
    exact = server(normalises_numbers=True).post(
        "/ResearchSubject", content=json.dumps(body()).replace('"1"', "1.50").encode()
    )
    assert b"1.5}" in exact.content.replace(b" ", b"")
    assert (
        server(accepts_any_code=True).post("/ResearchSubject", json=body(status="great")).is_success
    )
    unknown = server(*LABS, empty_for_unknown_parameter=True).get("/Observation?colour=red")
    assert (unknown.json()["total"], ids(unknown)) == (0, [])
    made = server(empty_for_unknown_parameter=True).post(
        "/ResearchSubject", json=body(), headers={"If-None-Exist": "colour=red"}
    )
    assert made.status_code == 201
    assert server(*LABS, needs_patient=True).get("/Observation?code=1975-2").status_code == 400
    assert server(*LABS, needs_patient=True).get("/Observation?patient=p").is_success
    assert server(no_last_updated=True).get("/Patient?_lastUpdated=ge2026").status_code == 400
    assert server(no_delete=True).delete("/Patient/p").status_code == 405
    assert server(no_type_history=True).get("/Patient/_history").status_code == 404
    assert server(refuses_types=frozenset(("Consent",))).get("/Consent").status_code == 404
    assert server(forbids_types=frozenset(("Consent",))).get("/Consent").status_code == 403


def test_tags_may_be_kept_on_update() -> None:
    client = server(keeps_old_tags=True)
    tag = {"system": "urn:t", "code": "a"}
    place = "/ResearchSubject/x"
    client.put(place, json=body(id="x", meta={"tag": [tag]}))
    done = client.put(place, json=body(id="x"))
    assert done.json()["meta"]["tag"] == [tag]
    other = {"system": "urn:t", "code": "b"}
    more = client.put(place, json=body(id="x", meta={"tag": [other, tag]}))
    assert more.json()["meta"]["tag"] == [other, tag]


def test_a_server_may_have_no_versions_and_no_conditions() -> None:
    client = server(no_versions=True, no_conditional_create=True)
    condition = {"If-None-Exist": "identifier=urn:k|1"}
    made = client.post("/ResearchSubject", json=body(), headers=condition)
    assert "ETag" not in made.headers
    assert "versionId" not in made.json()["meta"]
    assert client.post("/ResearchSubject", json=body(), headers=condition).status_code == 201
    place = f"/ResearchSubject/{made.json()['id']}"
    assert client.put(place, json=made.json(), headers={"If-Match": 'W/"9"'}).is_success


def test_the_capability_statement_does_not_lie_about_a_habit() -> None:
    plain = server().get("/metadata").json()["rest"][0]["resource"]
    assert {row["type"] for row in plain} == set(TABLE)
    odd = server(
        no_delete=True, no_versions=True, no_conditional_create=True, no_last_updated=True,
        refuses_types=frozenset(("Consent",)),
    ).get("/metadata").json()["rest"][0]["resource"]  # fmt: skip
    row = next(row for row in odd if row["type"] == "Observation")
    assert not row["conditionalCreate"]
    assert row["versioning"] == "no-version"
    assert {"code": "delete"} not in row["interaction"]
    assert "_lastUpdated" not in {p["name"] for p in row["searchParam"]}
    assert "Consent" not in {row["type"] for row in odd}


def test_rubbish_that_was_loaded_never_breaks_a_search() -> None:
    odd = [
        {"resourceType": "Observation", "id": "1", "code": {"coding": "x"}, "subject": 3},
        {"resourceType": "Observation", "id": "2", "code": 7, "effectiveDateTime": ["x"]},
        {"resourceType": "Observation", "id": "3", "effectivePeriod": {"start": "2026-01-01"}},
    ]
    client = server(*odd)
    assert ids(client.get("/Observation?code=1975-2")) == []
    assert ids(client.get("/Observation?date=ge2026-01-01")) == ["3"]
    assert len(ids(client.get("/Observation?_sort=date"))) == 3


def test_a_mistake_of_ours_is_an_outcome_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("with a value")

    monkeypatch.setattr(Interactions, "metadata", fail)
    answer = server().get("/metadata")
    assert (answer.status_code, outcome(answer)) == (500, "exception")
    assert "value" not in answer.text


# ------------------------------------------------------------------------- files, running


def store_of(folder: Path) -> tuple[Interactions, Any]:
    made = Interactions(now=lambda: "2026-11-22T00:00:00Z")
    return made, load(made.store, folder)


def test_files_are_read_in_every_form_and_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    line = json.dumps(observation(1)).encode()
    nested = {"resourceType": "Bundle", "entry": [{"resource": observation(2)}, 3, {}]}
    bundle = {"resourceType": "Bundle", "entry": [{"resource": nested}, {"resource": PATIENT}]}
    (tmp_path / "a.ndjson.gz").write_bytes(gzip.compress(line + b"\n\n{broken\n"))
    (tmp_path / "b.json").write_text(json.dumps(bundle))
    (tmp_path / "c.json").write_text('{"no": "type"}')
    (tmp_path / "d.ndjson.gz").write_bytes(b"not gzip")
    (tmp_path / "e.txt").write_text("not read")
    (tmp_path / ".hidden.json").write_text("{}")
    (tmp_path / "f.jsonl").write_text(json.dumps({"resourceType": "Device"}))
    made, loaded = store_of(tmp_path)
    assert loaded.resources == 4
    assert loaded.issues == (
        "file 1, line 3: not a FHIR resource",
        "file 3, line 1: not a FHIR resource",
        "file 4, line 0: not a FHIR resource",
    )
    assert made.store.types() == ("Device", "Observation", "Patient")
    with pytest.raises(RecordFault):
        load(made.store, tmp_path / "none")


def test_what_is_saved_comes_back_and_what_is_gone_stays_gone(tmp_path: Path) -> None:
    made, _ = store_of(tmp_path)
    made.store.load(observation(1, meta={"versionId": "7"}))
    made.store.load(PATIENT)
    save(made.store, tmp_path)
    made.store.delete("Patient", "p")
    save(made.store, tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["Observation.ndjson"]
    again, loaded = store_of(tmp_path)
    assert loaded.resources == 1
    assert again.store.get("Observation", "o1").number == 7


def test_ids_of_ours_never_take_one_that_is_there() -> None:
    made = Interactions(now=lambda: "2026-11-22T00:00:00Z")
    made.store.load({**observation(1), "id": "1"})
    assert made.store.create({"resourceType": "Observation"}).resource["id"] == "2"  # type: ignore[index] # it is there


def test_it_runs_on_loopback_and_says_when_its_port_is_taken() -> None:
    made = Interactions(now=lambda: "2026-11-22T00:00:00Z")
    with RunningSandbox(made) as running:
        assert running.base_url.startswith("http://127.0.0.1:")
        port = int(running.base_url.rpartition(":")[2])
        other = Interactions(now=lambda: "2026-11-22T00:00:00Z")
        with pytest.raises(ServerUnreachable, match="is taken"), RunningSandbox(other, port=port):
            pass


def test_a_read_of_a_known_version_is_not_repeated() -> None:
    one = server(PATIENT)
    tag = one.get("/Patient/p").headers["ETag"]
    assert one.get("/Patient/p", headers={"If-None-Match": tag}).status_code == 304
    assert one.get("/Patient/p", headers={"If-None-Match": 'W/"9"'}).status_code == 200


def test_a_conditional_delete_takes_the_one_that_it_finds() -> None:
    one = server(*LABS)
    assert one.delete("/Observation?_id=o1").status_code == 204
    assert one.delete("/Observation?_id=o1").status_code == 204
    assert one.get("/Observation/o1").status_code == 410
    assert outcome(one.delete("/Observation?patient=p")) == "multiple-matches"
    assert outcome(one.delete("/Observation")) == "required"


@pytest.mark.parametrize("born", ["1970-13-45", "yesterday"])
def test_a_date_that_is_none_is_refused(born: str) -> None:
    sent = {"resourceType": "Patient", "link": [{"x": [{"birthDate": born}]}]}
    assert outcome(server().post("/Patient", json=sent)) == "value"


def test_a_caching_server_answers_from_before_unless_asked_not_to() -> None:
    one = server(caches_searches=True)
    asked = "/Observation?patient=p"
    assert ids(one.get(asked)) == []
    one.put("/Observation/o1", json=LABS[0])
    assert ids(one.get(asked)) == []
    assert ids(one.get(asked, headers={"Cache-Control": "no-cache"})) == ["o1"]
    assert ids(one.get(asked)) == ["o1"]


def test_a_habit_of_hapi_deletes_whatever_version_is_named() -> None:
    one = server(PATIENT, ignores_match_on_delete=True)
    old = {"If-Match": 'W/"7"'}
    assert one.delete("/Patient/p", headers=old).status_code == 204
    assert server(PATIENT).delete("/Patient/p", headers=old).status_code == 412
