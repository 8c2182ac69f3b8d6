"""A run as a whole: bounds, what it leaves, what it says when nothing can be tried."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from fhir_adapter.client import FhirClient
from fhir_adapter.client.losses import Lost, fault_of_loss
from fhir_adapter.client.transport import Answer, Asked
from fhir_adapter.doctor import Report, examine
from fhir_adapter.doctor.operating import CHECKS as OPERATIONS
from fhir_adapter.errors import PatientNotFound, ServerBroken, ServerRefused, ServerUnreachable
from fhir_adapter.model.server import Verdict
from fhir_adapter.pull import doctor as old_doctor
from fhir_adapter.sandbox import Interactions
from tests.doctor.doctor_worlds import (
    NO,
    TABLE,
    Ask,
    Layer,
    World,
    answer,
    answers,
    edits,
    empty_searches,
    filled,
    refuses,
    seen,
)

WORKS, FAILS, UNSURE = Verdict.WORKS, Verdict.FAILS, Verdict.CANNOT_TELL


def run(world: World, **more: Any) -> Report:
    given = {"token": "t", "write": True, "sleep": lambda _: None, **more}
    return examine(world, **given)  # type: ignore[arg-type] # stands for the real one


def said(report: Report) -> dict[str, Any]:
    return {one.id: (one.verdict, one.reason) for one in report.findings}


def test_without_write_only_reads_and_searches_are_sent() -> None:
    world = World()
    found = said(run(world, write=False))
    methods = {method for method, url in world.asked if not url.endswith("_search")}
    assert methods <= {"GET", "POST"}
    assert {url for method, url in world.asked if method == "POST"} <= {"", "/Observation/_search"}
    assert found["write.create"] == (UNSURE, "not tried without --write")


def record(server: Interactions) -> None:
    me = {"reference": "Patient/p"}
    server.store.load({"resourceType": "Patient", "id": "p", "gender": "female"})
    for number in ("1", "2"):
        server.store.load(
            {
                "resourceType": "Observation", "id": number, "status": "final", "subject": me,
                "effectiveDateTime": f"2026-01-0{number}T08:00:00+08:00",
                "code": {"coding": [{"system": "http://loinc.org", "code": "1975-2"}]},
            }
        )  # fmt: skip


@pytest.mark.parametrize("patient", ["", "p"])
def test_a_record_that_is_there_proves_searches_without_writing(patient: str) -> None:
    world = World()
    record(world.server)
    found = said(run(world, write=False, patient=patient))
    for name in (
        "read.read",
        "query.patient-id",
        "query.token-or",
        "query.date-zone",
        "search.Observation.patient",
        "search.Observation.code",
        "paging.next",
    ):
        assert found[name][0] is WORKS, (name, found[name])
    assert found["search.Observation.category"] == (UNSURE, "nothing is there to look for")
    assert found["search.Condition.patient"][0] is UNSURE


def test_a_type_that_is_not_there_fails_without_anything_to_look_for() -> None:
    world = World(refuses_types=frozenset(("Condition",)))
    found = said(run(world, write=False))
    assert found["search.Condition.patient"] == (FAILS, "refused (404)")


def test_nothing_more_is_written_where_the_canary_stays() -> None:
    world = World(no_delete=True)
    report = run(world)
    assert said(report)["write.create"][1].startswith("not tried: what is written")
    assert world.standing() == {"Device": 1}
    assert report.left_behind == ("Device/1",)


def test_a_server_that_takes_writes_and_keeps_nothing_is_named_once() -> None:
    def forgetting(one: Asked, ask: Ask) -> Answer:
        if one.method == "POST" and not one.url.endswith("_search"):
            return answer(201, None, Location=f"{one.url}/1/_history/1")
        return answer(204) if one.method == "DELETE" else ask(one)

    world = World(forgetting)
    found = said(report := run(world))
    keeps = "takes writes and keeps nothing"
    assert found["write.canary"] == (FAILS, f"it {keeps}")
    assert found["write.create"] == (UNSURE, f"not tried: the server {keeps}")
    assert [name for name, (verdict, _) in found.items() if verdict is FAILS] == ["write.canary"]
    assert [url for method, url in world.asked if method == "POST" and url] == ["/Device"]
    assert report.left_behind == ()


def test_a_canary_that_is_there_a_little_later_is_kept() -> None:
    reads = count()

    def late(one: Asked, ask: Ask) -> Answer:
        early = one.method == "GET" and "/Device/" in one.url and next(reads) < 2
        return answer(404) if early else ask(one)

    assert said(run(World(late)))["write.create"][0] is WORKS


def test_a_server_that_stops_answering_ends_the_run_and_not_before() -> None:
    asked = count()

    def dead(one: Asked, ask: Ask) -> Answer:
        if next(asked) < 3:
            return ask(one)
        raise ServerUnreachable("no connection", where="x", remedy="x")

    found = said(run(World(dead), write=False))
    assert found["metadata.present"][0] is WORKS
    assert found["search.Patient._id"] == (UNSURE, "the server no longer answers")


@pytest.mark.slow
def test_a_run_is_bounded_in_requests_and_in_time() -> None:
    world = World()
    report = run(world, most_requests=60)
    assert report.requests < 60 + 200
    assert world.standing() == {}
    assert "no request was left" in said(report)["metadata.complete"][1] or report.findings
    ticks = count()
    slow = run(World(), clock=lambda: float(next(ticks)), seconds=20)
    assert "not tried: no time or no request was left" in {r for _, r in said(slow).values()}


def test_ctrl_c_takes_everything_away_and_is_heard() -> None:
    asked = count()

    def stop(one: Asked, ask: Ask) -> Answer:
        if next(asked) == 80:
            raise KeyboardInterrupt
        return ask(one)

    world = World(stop)
    with pytest.raises(KeyboardInterrupt):
        run(world)
    assert any(method == "POST" for method, _ in world.asked)
    assert world.standing() == {}


@pytest.mark.parametrize("at", [80, 82, 90])
def test_what_cannot_be_removed_is_told_even_after_ctrl_c(at: int) -> None:
    asked, told = count(), list[str]()

    def stop(one: Asked, ask: Ask) -> Answer:
        number = next(asked)
        if number in {75, at}:
            raise KeyboardInterrupt
        return ask(one)

    world = World(stop)
    with pytest.raises(KeyboardInterrupt):
        run(world, told=told.extend)
    assert sum(world.standing().values()) <= len(told)


def test_what_an_error_answer_left_behind_is_found_and_removed() -> None:
    def lying(one: Asked, ask: Ask) -> Answer:
        found = ask(one)
        return answer(500, None) if one.method == "POST" and found.status == 201 else found

    world = World()
    exam = world.exam()
    world.layers = [lying]
    exam.own.create(exam.own.marked("Device", {"status": "active"}))
    assert world.standing() == {"Device": 1}
    assert exam.own.remove_all() == ()
    assert world.standing() == {}


def test_what_holds_another_is_removed_first() -> None:
    world = World()
    exam = world.exam()
    made = [exam.own.create(exam.own.marked("Device", {"status": "active"})).id for _ in range(3)]

    def held(one: Asked, ask: Ask) -> Answer:
        others = world.standing().get("Device", 0) > 1
        stands = one.method == "DELETE" and one.url.endswith(f"/{made[-1]}") and others
        return answer(409, None) if stands else ask(one)

    world.layers = [held]
    assert exam.own.remove_all() == ()


def test_a_search_for_strays_may_fail() -> None:
    def dead(one: Asked, ask: Ask) -> Answer:
        if "identifier" in one.url or one.method == "DELETE":
            raise ServerUnreachable("no connection", where="x", remedy="x")
        return ask(one)

    world = World()
    exam = world.exam()
    exam.own.create(exam.own.marked("Device", {"status": "active"}))
    world.layers = [dead]
    assert exam.own.remove_all() == ("Device/1",)


def test_what_may_stand_and_cannot_be_looked_for_is_told() -> None:
    def dead(one: Asked, ask: Ask) -> Answer:
        if "identifier" in one.url:
            raise ServerUnreachable("no connection", where="x", remedy="x")
        return answer(500, None) if one.method == "POST" else ask(one)

    exam = World(dead).exam()
    exam.own.create(exam.own.marked("Device", {"status": "active"}))
    place = "Device?identifier=https://fhir-adapter.example/fhir/doctor|t-1"
    assert exam.own.remove_all() == (place,)


def test_one_check_that_cannot_read_an_answer_ends_nothing() -> None:
    odd = answers(200, {"resourceType": "CapabilityStatement", "rest": [{"mode": "server",
                  "resource": [{"type": ["x"]}]}], "software": {"name": ["x"]}},
                  path="metadata")  # fmt: skip
    report = run(World(odd), write=False)
    assert len(report.findings) == len(TABLE)
    assert report.software == ""


def test_what_is_listed_and_fails_is_a_lie() -> None:
    exam = World().exam()
    exam.verdicts["search.Observation.code"] = FAILS
    found = TABLE["metadata.honest"].look(exam)
    assert (found.verdict, found.reason) == (FAILS, "1 listed and not working: Observation.code")


def test_what_works_and_is_not_listed_is_said() -> None:
    def unlisted(body: dict[str, Any]) -> None:
        for one in body["rest"][0]["resource"]:
            one["searchParam"] = [p for p in one["searchParam"] if p["name"] != "code"]

    exam = World(edits(unlisted, path="metadata")).exam()
    exam.verdicts["search.Observation.code"] = WORKS
    found = TABLE["metadata.complete"].look(exam)
    assert (found.verdict, found.reason) == (FAILS, "1 working and not listed: Observation.code")


@pytest.mark.parametrize("check", ["metadata.honest", "metadata.complete"])
def test_nothing_proved_or_listed_is_no_lie(check: str) -> None:
    assert TABLE[check].look(World().exam()).verdict is UNSURE
    nothing = World(answers(404, None, path="metadata")).exam()
    assert TABLE[check].look(nothing).verdict is UNSURE


def test_an_export_that_cannot_be_taken_back_is_said() -> None:
    exam = World(refuses(405, method="DELETE")).exam()
    kick_off = next(one for one in OPERATIONS if one.id == "operation.export")
    assert kick_off.look(exam).verdict is WORKS
    assert TABLE["operation.export-cancel"].look(exam).verdict is FAILS


def test_a_subscription_that_is_refused_is_said() -> None:
    exam = World().exam()
    assert TABLE["subscription.created"].look(exam).verdict is UNSURE
    exam.memory["subscription"] = exam.probe.ask("POST", "Subscription", body={})
    assert TABLE["subscription.created"].look(exam).verdict is FAILS


def test_a_server_elsewhere_cannot_ring_here() -> None:
    world = World()
    exam = world.exam()
    exam.replies["Observation"] = exam.probe.get("metadata")
    world.base_url = "https://ehr.example/fhir"
    assert TABLE["subscription.fires"].look(exam).verdict is UNSURE


WRITTEN = [
    name
    for name, check in TABLE.items()
    if check.writes and not name.startswith(("write.canary", "operation."))
]


@pytest.mark.parametrize("check", WRITTEN)
def test_where_nothing_of_ours_was_taken_nothing_can_be_told(check: str) -> None:
    found = TABLE[check].look(World(refuses(403, method="POST")).exam())
    assert found.verdict is not WORKS


@pytest.mark.parametrize(
    "check",
    [
        "write.if-match",
        "write.if-match-stale",
        "write.delete-stale",
        "bundle.rollback",
        "read.vread",
        "read.not-modified",
    ],
)
def test_without_versions_a_condition_on_one_cannot_be_told(check: str) -> None:
    assert seen(check, no_versions=True).verdict is UNSURE


def test_a_late_entry_that_does_not_fail_proves_nothing() -> None:
    good = answers(200, {"resourceType": "Bundle", "entry": []}, method="POST", path="")
    _, exam = filled()

    def layer(one: Asked, ask: Ask) -> Answer:
        root = not one.url.removeprefix("http://127.0.0.1:8/fhir").strip("/")
        return good(one, ask) if root else ask(one)

    exam.probe.client.layers = [layer]  # type: ignore[attr-defined] # of the one that stands for it
    assert TABLE["bundle.rollback"].look(exam).verdict is UNSURE


def test_pages_that_cannot_be_told_apart_prove_nothing() -> None:
    assert seen("paging.next", empty_searches).verdict is UNSURE
    assert seen("paging.whole", empty_searches).verdict is UNSURE
    assert seen("paging.stable", empty_searches).verdict is UNSURE


@pytest.mark.slow
def test_the_largest_page_is_remembered() -> None:
    world = World(max_page=2)
    report = run(world)
    assert report.largest_page == 2
    assert report.profile.largest_page == 2
    assert said(report)["paging.size"] == (WORKS, "at most 2 on a page")


def test_a_dead_address_fails_to_answer_and_nothing_more_is_asked() -> None:
    client = FhirClient("http://127.0.0.1:9/fhir", sleep=lambda _: None)
    report = examine(client, token="t", write=True, sleep=lambda _: None)
    failed = [one.id for one in report.findings if one.verdict is not UNSURE]
    assert failed == ["metadata.answers"]
    assert report.not_asked == "not asked: nothing answers at this address"
    assert report.requests == 2


def test_a_server_that_is_silent_until_time_is_up_is_said_not_to_answer() -> None:
    now = [0.0]

    def silent(one: Asked, ask: Ask) -> Answer:
        now[0] += 21
        raise fault_of_loss(Lost.TIMED_OUT, one.where)

    world = World(silent)
    report = run(world, seconds=14, clock=lambda: now[0])
    assert report.not_asked == "not asked: nothing answers at this address"
    (failed,) = [one for one in report.findings if one.verdict is FAILS]
    assert (failed.id, failed.reason) == ("metadata.answers", "no answer in time")
    assert "time-out" not in failed.remedy
    assert "the setting concurrency" in failed.remedy
    assert len(world.asked) == 1


@pytest.mark.parametrize("write", [False, True])
def test_a_named_patient_who_is_not_there_is_said_before_anything_is_written(write: bool) -> None:
    world = World()
    record(world.server)
    with pytest.raises(PatientNotFound, match="--patient: the server does not know the named"):
        run(world, write=write, patient="nobody")
    assert {method for method, _ in world.asked} == {"GET"}


def test_a_named_patient_who_cannot_be_asked_for_is_left_to_the_checks() -> None:
    found = said(run(World(refuses(500, path="/Patient/q")), write=False, patient="q"))
    assert found["read.read"] == (UNSURE, "no patient is there to read")


@pytest.mark.parametrize("more", [{}, {"fhirVersion": "CANARYVALUE"}])
def test_no_finding_repeats_what_the_server_or_the_record_said(more: dict[str, str]) -> None:
    canary = "CANARYVALUE"
    world = World(edits(lambda b: b.update(note=canary, **more)))
    record(world.server)
    report = run(world, write=False, patient="p")
    text = json.dumps([(one.reason, one.consequence, one.remedy) for one in report.findings])
    assert canary not in text


BARE = {"resourceType": "Observation", "id": "1", "subject": {"reference": "Patient/1"}}


@pytest.mark.parametrize(
    "check",
    [name for name in TABLE if name.startswith("query.") and name != "query.include"],
)
def test_a_result_without_code_date_and_value_proves_little(check: str) -> None:
    """Whatever is said of it is said without an error."""
    _, exam = filled()
    exam.specimens["Observation"] = BARE
    assert TABLE[check].look(exam).verdict in set(Verdict)


UNTELLABLE = ("query.token-code", "query.token-system-counts", "query.and", "query.date-ge",
              "query.date-zone", "query.last-updated", "query.quantity", "query.composite",
              "query.has")  # fmt: skip


@pytest.mark.parametrize("check", UNTELLABLE)
def test_without_the_element_a_search_cannot_be_told(check: str) -> None:
    _, exam = filled()
    exam.specimens["Observation"] = BARE
    assert TABLE[check].look(exam).verdict is UNSURE


@pytest.mark.parametrize("check", ["query.include", "query.chained", "operation.everything"])
def test_without_somebody_to_look_for_nothing_can_be_told(check: str) -> None:
    def nameless(body: dict[str, Any]) -> None:
        body.pop("gender", None)

    world, exam = filled()
    world.layers = [edits(nameless)]
    exam.specimens["MedicationRequest"] = {"resourceType": "MedicationRequest", "id": "1"}
    if check == "operation.everything":
        exam.specimens["Observation"] = {}
    assert TABLE[check].look(exam).verdict is UNSURE


FIXED = [name for name in TABLE if name.startswith(("write.", "caching.", "kept."))]


@pytest.mark.parametrize("check", FIXED)
@pytest.mark.parametrize("broken", ["POST", "PUT", "DELETE", "GET"])
def test_a_server_that_refuses_a_method_ends_no_check_with_an_error(
    check: str, broken: str
) -> None:
    found = seen(check, refuses(500, method=broken))
    assert found.reason


@pytest.mark.parametrize("check", ["paging.next", "paging.whole", "paging.total", "paging.stable"])
def test_pages_without_end_are_followed_a_little_way(check: str) -> None:
    world, exam = filled()
    for _ in range(10):
        exam.own.create({k: v for k, v in exam.sent["Observation"].items() if k != "id"})
    assert TABLE[check].look(exam).verdict in {WORKS, UNSURE}
    assert len(world.asked) < 30


@pytest.mark.slow
def test_a_specimen_that_refers_to_what_was_refused_is_left_out() -> None:
    world = World(refuses_types=frozenset(("Medication",)))
    report = run(world)
    found = said(report)
    assert found["query.include"][0] is UNSURE
    assert found["search.MedicationRequest.patient"] == (UNSURE, "nothing is there to look for")
    assert world.standing() == {}


def test_a_server_that_breaks_off_while_we_write_is_examined_all_the_same() -> None:
    asked = count()

    def once(one: Asked, ask: Ask) -> Answer:
        if one.method == "POST" and next(asked) == 5:
            raise ServerUnreachable("no connection", where="x", remedy="x")
        return ask(one)

    world = World(once)
    assert len(run(world).findings) == len(TABLE)
    assert world.standing() == {}


def test_a_server_that_drops_underscored_names_is_seen_to_refuse_the_others() -> None:
    """HAPI: a canary that begins with an underscore would be dropped, and kept in self."""

    def hapi(one: Asked, ask: Ask) -> Answer:
        if "_fhir-adapter" not in one.url:
            return ask(one)
        kept = one.url.replace("_fhir-adapter-canary=1&", "")
        found = json.loads(ask(replace(one, url=kept)).body)
        return answer(200, {**found, "link": [{"relation": "self", "url": one.url}]})

    for check in ("query.unknown-lenient", "query.unknown-strict"):
        assert seen(check, hapi).verdict is WORKS
    assert not old_doctor._CANARY.startswith("_")


ODD = Answer(status=203, headers={"Content-Type": "x/CANARY"}, body=b"CANARY")
HTML = Answer(status=200, headers={"Content-Type": "text/html"}, body=b"<html>Log in</html>")

REDIRECTED = replace(HTML, redirected=True)


def says(found: Answer, *, metadata: Answer | None = None) -> Layer:
    """Whatever is asked, this; under /metadata perhaps something else (None: as it is)."""

    def layer(one: Asked, ask: Ask) -> Answer:
        if one.url.endswith("/metadata"):
            return ask(one) if metadata is None else metadata
        return found

    return layer


NEITHER = "neither a CapabilityStatement nor a Bundle came back"
NO_SERVERS = {
    "login page": (says(HTML, metadata=HTML), f"{NEITHER} (200, text/html)", "login page"),
    "redirect to a login page": (
        says(REDIRECTED, metadata=REDIRECTED),
        f"{NEITHER} (200, text/html, after a redirect)",
        "login page",
    ),
    "another type of media": (
        says(ODD, metadata=ODD), f"{NEITHER} (203, another media type)", "login page",
    ),
    "another path": (
        says(answer(404), metadata=answer(404)), f"{NEITHER} (404, no media type)", "base URL",
    ),
    "nothing but outcomes": (
        says(answer(404, NO), metadata=answer(404, NO)), NEITHER, "base URL",
    ),
    "no credentials": (says(answer(401), metadata=answer(401)), "refused (401)", "record_token"),
    "forbidden": (says(answer(403, NO), metadata=answer(403)), "refused (403)", "record_token"),
    "metadata alone": (says(answer(401)), "refused (401)", "smart_client"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_SERVERS)
def test_an_address_that_does_not_answer_as_fhir_is_asked_nothing_further(name: str) -> None:
    layer, why, remedy = NO_SERVERS[name]
    world = World(layer)
    report = run(world)
    failed = [one for one in report.findings if one.verdict is FAILS]
    assert [one.id for one in failed] == ["metadata.answers"]
    assert failed[0].reason.startswith(why)
    assert remedy in failed[0].remedy
    assert {one.reason for one in report.findings if one.verdict is UNSURE} == {report.not_asked}
    assert report.has_needed_failure
    assert len(world.asked) <= 3


OTHER_VERSIONS = {
    "R5": ({"fhirVersion": "5.0.0"}, "R5 (5.0.0)", "`serve`"),
    "R6": ({"fhirVersion": "6.0.0"}, "R6 (6.0.0)", "/fhir/r4"),
    "STU3": ({"fhirVersion": "3.0.2"}, "STU3 (3.0.2)", "/fhir/r4"),
    "DSTU2": ({"resourceType": "Conformance", "fhirVersion": "1.0.2"}, "DSTU2 (1.0.2)", "/R4"),
    "DSTU2 unsaid": ({"resourceType": "Conformance", "fhirVersion": None}, "DSTU2", "/R4"),
    "unheard of": ({"fhirVersion": "later"}, "of another version", "/R4"),
}


@pytest.mark.parametrize("name", OTHER_VERSIONS)
def test_a_server_of_another_version_is_asked_nothing_further(name: str) -> None:
    change, said_as, remedy = OTHER_VERSIONS[name]
    world = World(edits(lambda b: b.update(change), path="/metadata"))
    report = run(world)
    failed = [one for one in report.findings if one.verdict is FAILS]
    assert [one.id for one in failed] == ["metadata.fhir-version"]
    assert failed[0].reason == f"the server speaks FHIR {said_as}, not R4"
    assert remedy in failed[0].remedy
    assert report.not_asked == "not asked: it is of another version of FHIR"
    assert report.has_needed_failure
    assert world.asked == [("GET", "/metadata"), ("GET", "/Patient?_count=1")]


@pytest.mark.parametrize("version", ["4.0.1", "4.3.0", ""])
def test_a_server_of_r4_or_r4b_or_that_does_not_say_is_examined(version: str) -> None:
    world = World(edits(lambda b: b.update(fhirVersion=version), path="/metadata"))
    assert run(world, write=False).not_asked == ""


def test_a_token_that_is_refused_ends_the_questions_with_its_own_remedy() -> None:
    def refused(one: Asked, ask: Ask) -> Answer:
        raise ServerRefused("the token endpoint answered 401", where="x", remedy="Register it.")

    world = World(refused)
    report = run(world)
    assert report.findings[0].remedy == "Register it."
    assert len(world.asked) <= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "metadata", [answer(404), HTML, ServerBroken("it redirects", where="x", remedy="x")]
)
def test_hidden_metadata_end_nothing_where_searches_are_answered(
    metadata: Answer | ServerBroken,
) -> None:
    def hidden(one: Asked, ask: Ask) -> Answer:
        if not one.url.endswith("/metadata"):
            return ask(one)
        if isinstance(metadata, Answer):
            return metadata
        raise metadata

    found = said(run(World(hidden)))
    assert found["metadata.answers"][0] is WORKS
    assert found["write.create"][0] is WORKS


def test_a_server_that_wants_a_patient_on_every_search_is_a_fhir_server() -> None:
    wants = refuses(400, path="/Patient?_count")
    hidden = refuses(404, path="/metadata")
    found = said(run(World(wants, hidden), write=False))
    assert found["metadata.answers"][0] is WORKS


def test_one_type_that_is_refused_is_not_the_whole_server() -> None:
    found = said(run(World(answers(401, None, path="/Patient")), write=False))
    assert found["metadata.answers"][0] is WORKS


def test_where_time_is_short_what_is_needed_comes_first_and_the_rest_is_counted() -> None:
    world = World()
    record(world.server)
    report = run(world, write=False, most_requests=70)
    needed = {one.id for one in report.findings if one.needed}
    late = {name for name, (_, reason) in said(report).items() if "no time" in reason}
    assert len(late) > 20
    assert not late & needed
    assert report.out_of_time == len(late)
    assert [one.id for one in report.findings] == list(TABLE)
