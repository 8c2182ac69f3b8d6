"""Every fault in front of the sandbox: a pull is whole or says that it is not; no write doubles."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from writeback import proposals

from fhir_adapter.client import BearerAuth, FhirClient, RetryBudget, Timeouts
from fhir_adapter.errors import (
    AdapterError,
    NotFhir,
    OtherVersion,
    ServerBroken,
    ServerFault,
    ServerRefused,
    WriteFault,
)
from fhir_adapter.facts import KINDS
from fhir_adapter.ledger import Ledger, open_ledger
from fhir_adapter.ports import Need, Proposal, Pulled, Written
from fhir_adapter.pull.batching import Batch
from fhir_adapter.pull.doctor import Proof, ServerDoctor
from fhir_adapter.pull.record import ServerRecords
from fhir_adapter.sandbox import RunningSandbox
from fhir_adapter.writeback import Choice, ServerSink, Strategy, choose

import fault_proxy as faults
from cli.cli_for_tests import sandbox
from fault_proxy import FaultProxy

pytestmark = pytest.mark.slow

PATIENT = "02-warfarin"
OTHER = "01-whole-umol"
NEEDS = tuple(
    Need(kind=KINDS[name], resource_type=name)
    for name in ("Encounter", "Condition", "Procedure", "Observation", "MedicationRequest")
)


@pytest.fixture(scope="module")
def target() -> Iterator[RunningSandbox]:
    with sandbox(patients=(PATIENT, OTHER)) as running:
        yield running


@pytest.fixture(scope="module")
def whole(target: RunningSandbox) -> frozenset[str]:
    """What the record really holds."""
    return ids_of(pulled(target.base_url))


@pytest.fixture
def proxy(target: RunningSandbox) -> Iterator[FaultProxy]:
    with FaultProxy(target.base_url, seed=7) as made:
        yield made


def client_at(url: str, **given: Any) -> FhirClient:
    quick: dict[str, Any] = {"timeouts": Timeouts(read=5.0), "sleep": lambda _: None}
    return FhirClient(url, **{**quick, "prefer_post": True, **given})


def pulled(url: str, *, page_size: int = 3, batch: Batch = Batch.NEVER, **given: Any) -> Pulled:
    """By single searches; tests/client/test_fault_proxy_batch.py has the same by batch."""
    records = ServerRecords(client_at(url, **given), page_size=page_size, batch=batch)
    return records.pull(PATIENT, NEEDS)


def ids_of(found: Pulled) -> frozenset[str]:
    return frozenset(f"{one['resourceType']}/{one['id']}" for one in found.resources)


def whys(found: Pulled) -> frozenset[str]:
    return frozenset(one.why_not for one in found.types if not one.complete)


def test_the_record_has_several_pages(whole: frozenset[str]) -> None:
    assert len(whole) == 21
    assert sum(one.startswith("Observation/") for one in whole) == 11


def is_no_count(one: faults.Request) -> bool:
    return faults.is_search_or_page(one) and ("_summary", "count") not in one.params


Plan = tuple[Callable[[], faults.Fault], faults.Matcher, dict[str, Any]]

HARMLESS: dict[str, Plan] = {
    "throttled": (faults.throttled, faults.is_any, {"times": 3}),
    "throttled until": (lambda: faults.throttled_until(3), faults.is_any, {"times": 3}),
    "503": (lambda: faults.throttled(503, "0"), faults.is_any, {"chance": 0.3, "times": 8}),
    "cut bodies": (faults.cut_body, faults.is_any, {"times": 3}),
    "cut to nothing": (lambda: faults.cut_body(0.0), faults.is_search_or_page, {"times": 2}),
    "lost": (faults.cut_before_commit, faults.is_any, {"times": 2}),
    "lost answers": (faults.cut_after_commit, faults.is_search_or_page, {"times": 2}),
    "slow": (lambda: faults.delayed(0.02), faults.is_any, {}),
    "twice": (faults.duplicated, faults.is_any, {}),
    "reordered": (faults.reordered, faults.is_search_or_page, {}),
    "repeated": (faults.repeated_entry, faults.is_search_or_page, {}),
    "relative": (faults.relative_next, faults.is_search_or_page, {}),
    "query alone": (faults.query_next, faults.is_search_or_page, {}),
    "an expired page": (faults.expired_page, faults.is_page, {"times": 1, "after": 2}),
    "a page that is not found": (lambda: faults.expired_page(404), faults.is_page, {"times": 2}),
    "no metadata": (faults.no_metadata, faults.is_metadata, {}),
    "metadata in HTML": (faults.html, faults.is_metadata, {}),
    "empty metadata": (lambda: faults.lying_metadata(rest=[]), faults.is_metadata, {}),
    "no total": (faults.no_total, is_no_count, {}),
    "a warning": (lambda: faults.outcome_entry("not-supported"), faults.is_search_or_page, {}),
    "_include emptied": (lambda: faults.emptied_parameter("_include"), faults.is_search, {}),
    "_include ignored": (lambda: faults.ignored_parameter("_include"), faults.is_search, {}),
    "no POST": (lambda: faults.status(405), lambda one: one.method == "POST", {}),
    "an honest cache": (lambda: faults.stale_search(60), faults.is_search, {}),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_fault_that_can_be_mended_costs_nothing(
    proxy: FaultProxy, whole: frozenset[str], name: str
) -> None:
    fault, on, how = HARMLESS[name]
    armed = proxy.arm(fault(), on=on, **how)
    found = pulled(proxy.url)
    assert armed.struck
    assert (ids_of(found), whys(found)) == (whole, frozenset())


LOSSY: dict[str, tuple[Plan, set[str]]] = {
    "always throttled": ((faults.throttled, faults.is_search, {}), {"throttled"}),
    "always cut": ((faults.cut_body, faults.is_search, {}), {"not-fhir"}),
    "HTML": ((faults.html, faults.is_search, {}), {"not-fhir"}),
    "HTML errors": ((lambda: faults.html(500), faults.is_search, {}), {"server-broken"}),
    "HTML on a page": ((faults.html, faults.is_page, {}), {"not-fhir"}),
    "forbidden": ((lambda: faults.status(403), faults.of_type("Procedure"), {}), {"forbidden"}),
    "foreign links": ((faults.foreign_next, faults.is_search, {}), {"foreign-next-link"}),
    "doubled ports": ((faults.doubled_port_next, faults.is_search, {}), {"foreign-next-link"}),
    "links in a loop": ((faults.looping_next, faults.is_page, {}), {"next-link-loop"}),
    "no links": ((faults.no_next, faults.is_search, {}), {"cut-short"}),
    "no total at all, pages full": ((faults.no_total, faults.is_search, {}), {"cut-short"}),
    "expired pages": ((faults.expired_page, faults.is_page, {}), {"page-expired"}),
    "an entry missing": ((faults.missing_entry, faults.is_search_or_page, {}), {"cut-short"}),
    "an entry swapped": ((faults.swapped_entry, faults.is_search_or_page, {}), {"cut-short"}),
    "an entry emptied": (
        (faults.emptied_entry, faults.is_search_or_page, {}), {"entry-without-resource"}),
    "something withheld": (
        (lambda: faults.outcome_entry("suppressed"), faults.is_search, {}), {"withheld-by-server"}),
    "401 from a page on": ((faults.unauthorized, faults.is_page, {}), {"unauthorized"}),
    "patient ignored": (
        (lambda: faults.ignored_parameter("patient"), faults.is_search, {}),
        {"parameter-ignored"}),
    "patient ignored and claimed": (
        (lambda: faults.ignored_parameter("patient", in_self=True), faults.is_search, {}),
        {"foreign-patient"}),
    "metadata without a type": (
        (lambda: faults.lying_metadata(
            rest=[{"mode": "server", "resource": [{"type": "Observation"}]}]),
         faults.is_metadata, {}), {"not-supported"}),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSY)
def test_what_a_fault_takes_away_is_said_with_its_reason(
    proxy: FaultProxy, whole: frozenset[str], name: str
) -> None:
    (fault, on, how), expected = LOSSY[name]
    proxy.arm(fault(), on=on, **how)
    found = pulled(proxy.url)
    assert whys(found) >= expected
    assert_nothing_is_lost_in_silence(found, whole)


def assert_nothing_is_lost_in_silence(found: Pulled, whole: frozenset[str]) -> None:
    """What lacks is of a type that says so; nothing of somebody else is there."""
    complete = {one.resource_type for one in found.types if one.complete}
    lacking = {one.partition("/")[0] for one in whole - ids_of(found)}
    assert not lacking & complete
    assert ids_of(found) <= whole


def test_no_links_and_no_total_on_full_pages_is_not_taken_for_the_end(
    proxy: FaultProxy, whole: frozenset[str]
) -> None:
    proxy.arm(faults.no_next(), on=faults.is_search)
    proxy.arm(faults.no_total(), on=faults.is_search)
    found = pulled(proxy.url)
    assert "cut-short" in whys(found)
    assert_nothing_is_lost_in_silence(found, whole)


@pytest.mark.parametrize("seed", range(12))
def test_many_faults_at_once_lose_nothing_in_silence(
    target: RunningSandbox, whole: frozenset[str], seed: int
) -> None:
    with FaultProxy(target.base_url, seed=seed) as proxy:
        for fault, on in (
            (faults.throttled(), faults.is_any),
            (faults.cut_body(), faults.is_any),
            (faults.html(502), faults.is_any),
            (faults.missing_entry(), faults.is_page),
            (faults.reordered(), faults.is_search_or_page),
            (faults.repeated_entry(), faults.is_search_or_page),
            (faults.relative_next(), faults.is_search_or_page),
            (faults.foreign_next(), faults.is_page),
            (faults.expired_page(), faults.is_page),
            (faults.duplicated(), faults.is_any),
        ):
            proxy.arm(fault, on=on, chance=0.12)
        try:
            found = pulled(proxy.url, budget=RetryBudget(tries=3))
        except ServerFault:
            return
        assert_nothing_is_lost_in_silence(found, whole)


def test_the_same_seed_gives_the_same_faults(target: RunningSandbox) -> None:
    def struck(seed: int) -> list[tuple[str, frozenset[str]]]:
        with FaultProxy(target.base_url, seed=seed) as proxy:
            proxy.arm(faults.html(500), on=faults.is_search_or_page, chance=0.5)
            found = pulled(proxy.url)
            return [(one.resource_type, frozenset([one.why_not])) for one in found.types]

    assert struck(1) == struck(1)
    assert len({str(struck(seed)) for seed in range(6)}) > 1


def test_a_token_that_dies_in_the_middle_is_renewed(
    proxy: FaultProxy, whole: frozenset[str]
) -> None:
    proxy.arm(faults.unauthorized(), on=faults.is_page, times=1, after=1)
    tokens = iter(("old", "new"))
    kept = ["none"]

    def renew() -> str:
        kept[0] = next(tokens)
        return kept[0]

    found = pulled(proxy.url, auth=BearerAuth(lambda: kept[0], renew=renew))
    assert (ids_of(found), whys(found)) == (whole, frozenset())


def test_an_include_that_loses_something_is_not_used_again(
    proxy: FaultProxy, whole: frozenset[str]
) -> None:
    proxy.arm(faults.emptied_parameter("_include"), on=faults.is_search)
    records = ServerRecords(client_at(proxy.url), page_size=3, batch=Batch.NEVER)
    for _ in range(2):
        found = records.pull(PATIENT, NEEDS)
        assert (ids_of(found), whys(found)) == (whole, frozenset())
    assert sum("_include" in dict(one.params) for one in proxy.seen) == 1


def test_the_doctor_does_not_call_a_parameter_proved_that_finds_nobody(proxy: FaultProxy) -> None:
    """The pull cannot tell this from a patient without data; a known patient can."""
    proxy.arm(faults.emptied_parameter("patient"), on=faults.is_search)
    found = ServerDoctor(client_at(proxy.url)).examine(NEEDS, known_patient=PATIENT)
    known = [one for one in found if one.check == "patient-known"]
    assert len(known) == len(NEEDS)
    assert {(one.ok, one.code) for one in known} == {(Proof.UNPROVED, "nothing-found")}


def test_no_patient_stands_in_the_address_of_a_search(proxy: FaultProxy) -> None:
    pulled(proxy.url)
    searches = [one for one in proxy.seen if faults.is_search(one)]
    assert searches
    assert not [one for one in searches if PATIENT in str(one.query)]
    assert {one.method for one in searches} == {"POST"}


def test_every_request_asks_for_no_stored_answer(proxy: FaultProxy) -> None:
    pulled(proxy.url)
    assert {one.header("Cache-Control") for one in proxy.seen} == {"no-cache"}


# --------------------------------------------------------------------------- another server

VERSIONS: dict[str, tuple[dict[str, Any], str]] = {
    "DSTU2": ({"resourceType": "Conformance", "fhirVersion": "1.0.2"}, "DSTU2 (1.0.2)"),
    "DSTU2 without version": ({"resourceType": "Conformance", "fhirVersion": ""}, "DSTU2"),
    "STU3": ({"fhirVersion": "3.0.2"}, "STU3 (3.0.2)"),
    "R5": ({"fhirVersion": "5.0.0"}, "R5 (5.0.0)"),
    "R5 ballot": ({"fhirVersion": "5.0.0-ballot"}, "R5 (5.0.0)"),
    "R6": ({"fhirVersion": "6.0.0"}, "R6 (6.0.0)"),
    "4.6": ({"fhirVersion": "4.6.0"}, "4.6.0"),
    "any text": ({"fhirVersion": "canary"}, "of another version"),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_a_server_of_another_version_is_never_pulled_from(proxy: FaultProxy, name: str) -> None:
    elements, said = VERSIONS[name]
    proxy.arm(faults.lying_metadata(**elements), on=faults.is_metadata)
    records = ServerRecords(client_at(proxy.url))
    for _ in range(2):  # not for the first patient only
        with pytest.raises(OtherVersion) as caught:
            records.pull(PATIENT, NEEDS)
        assert f"speaks FHIR {said}, not R4" in str(caught.value)
        assert "R4 (4.0.1) endpoint" in caught.value.remedy
    with pytest.raises(OtherVersion):
        list(records.patients())


@pytest.mark.parametrize(
    ("fault", "error", "remedy"),
    [
        (faults.html(), NotFhir, "login or error page"),
        (faults.status(404), NotFhir, "base URL"),
        (faults.unauthorized(), ServerRefused, "expired"),
    ],
    ids=["HTML", "404", "401"],
)
def test_a_wrong_address_is_named_with_its_remedy(
    proxy: FaultProxy, fault: faults.Fault, error: type[AdapterError], remedy: str
) -> None:
    proxy.arm(fault)
    with pytest.raises(error) as caught:
        list(ServerRecords(client_at(proxy.url)).patients())
    assert remedy in caught.value.remedy


# -------------------------------------------------------------------------------- writing


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 11, 3, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    found = open_ledger(tmp_path / "ledger.sqlite", Clock())
    yield found
    found.close()


@pytest.fixture
def empty() -> Iterator[RunningSandbox]:
    with sandbox(patients=(PATIENT,)) as running:
        yield running


@pytest.fixture
def writing(empty: RunningSandbox) -> Iterator[FaultProxy]:
    with FaultProxy(empty.base_url, seed=7) as made:
        yield made


def standing(server: FaultProxy, kind: str) -> list[dict[str, Any]]:
    found = requests.get(f"{server.target}/{kind}", timeout=10).json()
    return [entry["resource"] for entry in found.get("entry", [])]


def send(
    server: FaultProxy, ledger: Ledger | None, proposal: Proposal, choice: Choice | None = None
) -> Written:
    client = client_at(server.url, budget=RetryBudget(tries=3))
    try:
        capability = client.capability()
    except ServerFault:
        capability = None
    return ServerSink(client, ledger, choice=choice or choose(capability)).send(
        proposal, write=True
    )


def sent_until_done(
    server: FaultProxy, ledger: Ledger | None, proposal: Proposal, **given: Any
) -> tuple[Written, list[str]]:
    """As runs do: what failed is sent again by the next run."""
    said: list[str] = []
    for _ in range(6):
        try:
            return send(server, ledger, proposal, **given), said
        except (ServerFault, WriteFault) as fault:
            said.append(f"{fault.code}: {fault}")
    raise AssertionError(f"never done: {said}")


def propose() -> Proposal:
    """With what the sandbox wants of a GuidanceResponse."""
    made = proposals.propose()
    assert made.opinion is not None
    return replace(made, opinion={**made.opinion, "moduleCanonical": "urn:plan|1"})


def take_back() -> Proposal:
    opinion = {**(propose().opinion or {}), **proposals.opinion("f2"), "moduleCanonical": "urn:p"}
    return replace(proposals.take_back(), opinion=opinion)


SEARCHING = Choice(strategy=Strategy.SEARCH_THEN_CREATE, reason="")

WRITES: dict[str, Plan] = {
    "throttled": (faults.throttled, faults.is_write, {"times": 2}),
    "503 until": (lambda: faults.throttled_until(2, 503), faults.is_any, {"chance": 0.2}),
    "lost requests": (faults.cut_before_commit, faults.is_write, {"times": 2}),
    "lost answers": (faults.cut_after_commit, faults.is_write, {}),
    "some lost answers": (faults.cut_after_commit, faults.is_write, {"chance": 0.5}),
    "errors after the fact": (faults.error_after_commit, faults.is_write, {}),
    "504 after the fact": (lambda: faults.error_after_commit(504), faults.is_write, {}),
    "cut answers": (faults.cut_body, faults.is_write, {"times": 4}),
    "HTML answers": (lambda: faults.html(502), faults.is_write, {"times": 3}),
    "twice": (faults.duplicated, faults.is_write, {}),
    "an honest cache": (lambda: faults.stale_search(60), faults.is_search, {}),
    "no metadata": (faults.no_metadata, faults.is_metadata, {}),
    "no POST search": (lambda: faults.status(405), faults.is_search, {"times": 1}),
    "reordered": (faults.reordered, faults.is_search, {}),
    "lost pages of searches": (faults.cut_body, faults.is_search, {"chance": 0.3}),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.slow
def test_a_proposal_is_written_once_whatever_happens_on_the_way(
    writing: FaultProxy, ledger: Ledger, name: str
) -> None:
    fault, on, how = WRITES[name]
    armed = writing.arm(fault(), on=on, **how)
    sent_until_done(writing, ledger, propose())
    sent_until_done(writing, ledger, propose())
    assert armed.struck
    found = {kind: len(standing(writing, kind)) for kind in ("ResearchSubject", "Device")}
    assert found == {"ResearchSubject": 1, "Device": 1}
    assert len(standing(writing, "GuidanceResponse")) == 1


@pytest.mark.parametrize("name", ["lost answers", "errors after the fact", "an honest cache"])
def test_it_is_written_once_without_conditional_create_too(
    writing: FaultProxy, ledger: Ledger, name: str
) -> None:
    fault, on, how = WRITES[name]
    writing.arm(fault(), on=on, **how)
    writing.arm(faults.double_create(), on=faults.is_create)
    for _ in range(2):
        sent_until_done(writing, ledger, propose(), choice=SEARCHING)
    assert len(standing(writing, "ResearchSubject")) == 1
    assert len(standing(writing, "Device")) == 1


def test_a_server_that_takes_a_create_and_forgets_it_is_found_out(
    writing: FaultProxy, ledger: Ledger
) -> None:
    writing.arm(faults.forgotten_create(), on=faults.of_type("ResearchSubject", faults.is_create))
    with pytest.raises(WriteFault, match="cannot be read back") as caught:
        send(writing, ledger, propose())
    assert caught.value.code == "write-unverified"
    assert standing(writing, "ResearchSubject") == []
    writing.disarm()
    assert sent_until_done(writing, ledger, propose())[0].created
    assert len(standing(writing, "ResearchSubject")) == 1


def test_a_condition_that_is_ignored_doubles_nothing_by_itself(
    writing: FaultProxy, ledger: Ledger
) -> None:
    writing.arm(faults.double_create(), on=faults.is_create)
    for _ in range(3):
        sent_until_done(writing, ledger, propose())
    assert len(standing(writing, "ResearchSubject")) == 1


def test_what_must_double_is_said_by_the_next_run(writing: FaultProxy, ledger: Ledger) -> None:
    """Sent twice on the way and executed without its condition: nobody can stop that."""
    writing.arm(faults.duplicated(), on=faults.of_type("ResearchSubject", faults.is_create))
    writing.arm(faults.double_create(), on=faults.is_create)
    sent_until_done(writing, ledger, propose())
    assert len(standing(writing, "ResearchSubject")) == 2
    again, _ = sent_until_done(writing, ledger, propose())
    assert [note for note in again.notes if note.startswith("duplicate:")]
    assert len(standing(writing, "ResearchSubject")) == 2


def test_a_search_that_lags_does_not_double_what_the_ledger_knows(
    writing: FaultProxy, ledger: Ledger
) -> None:
    """A cache that heeds nothing: identifier searches stay empty long after the create."""
    writing.arm(faults.stale_search(3600, honest=False), on=faults.is_search)
    for _ in range(3):
        sent_until_done(writing, ledger, propose())
    assert len(standing(writing, "ResearchSubject")) == 1


def test_taking_back_survives_a_lost_answer(writing: FaultProxy, ledger: Ledger) -> None:
    sent_until_done(writing, ledger, propose())
    writing.arm(faults.cut_after_commit(), on=faults.is_write)
    sent_until_done(writing, ledger, take_back())
    left = standing(writing, "ResearchSubject")
    assert [one["status"] for one in left] in ([], ["ineligible"])


@pytest.mark.parametrize(
    "fault",
    [faults.no_metadata(), faults.html(), faults.no_metadata(500)],
    ids=["404", "HTML", "500"],
)
def test_writing_needs_no_metadata(fault: faults.Fault, writing: FaultProxy) -> None:
    from fhir_adapter.bootstrap.clients import what_it_can  # noqa: PLC0415 - for this test alone

    writing.arm(fault, on=faults.is_metadata)
    assert what_it_can(client_at(writing.url)) is None


def test_writing_to_another_version_is_refused(writing: FaultProxy) -> None:
    from fhir_adapter.bootstrap.clients import what_it_can  # noqa: PLC0415 - as above

    writing.arm(faults.lying_metadata(fhirVersion="5.0.0"), on=faults.is_metadata)
    with pytest.raises(OtherVersion):
        what_it_can(client_at(writing.url))


# ---------------------------------------------------------------------- the proxy itself


def test_a_transaction_may_run_as_a_batch(server: Any, reply: Any) -> None:
    server.say(reply({"resourceType": "Bundle", "type": "batch-response"}))
    with FaultProxy(server.url) as proxy:
        proxy.arm(faults.transaction_as_batch())
        answer = requests.post(
            proxy.url, json={"resourceType": "Bundle", "type": "transaction"}, timeout=10
        )
        assert answer.json()["type"] == "transaction-response"
        requests.post(proxy.url, json={"resourceType": "Bundle", "type": "batch"}, timeout=10)
    assert [json.loads(one.body)["type"] for one in server.seen] == ["batch", "batch"]


def test_faults_strike_as_often_and_as_late_as_they_are_told(proxy: FaultProxy) -> None:
    armed = proxy.arm(faults.status(418), on=faults.is_read, times=2, after=1)
    client = client_at(proxy.url)
    seen = []
    for _ in range(5):
        try:
            client.read("Patient", PATIENT)
            seen.append("read")
        except ServerBroken:
            seen.append("struck")
    assert (seen, armed.struck) == (["read", "struck", "struck", "read", "read"], 2)


@pytest.mark.parametrize("name", faults.BY_NAME)
def test_every_fault_of_the_command_line_can_be_armed(name: str) -> None:
    fault, on = faults.BY_NAME[name]
    assert callable(fault())
    assert on in {faults.is_any, faults.is_write, faults.is_search, faults.is_page,
                  faults.is_search_or_page, faults.is_create, faults.is_metadata}  # fmt: skip
