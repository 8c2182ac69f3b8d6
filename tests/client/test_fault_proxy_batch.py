"""The faults of single searches inside batches, and those that only a batch can have.

A batch that is bad in any way costs requests: the record is whole, or says that it is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from client.test_fault_proxy import (
    HARMLESS,
    LOSSY,
    NEEDS,
    OTHER,
    PATIENT,
    assert_nothing_is_lost_in_silence,
    client_at,
    ids_of,
    pulled,
    whys,
)

from fhir_adapter.client import RetryBudget
from fhir_adapter.errors import ServerFault
from fhir_adapter.ports import Pulled
from fhir_adapter.pull.batching import Batch
from fhir_adapter.pull.record import ServerRecords
from fhir_adapter.sandbox import RunningSandbox

import fault_proxy as faults
from cli.cli_for_tests import sandbox
from fault_proxy import FaultProxy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def target() -> Iterator[RunningSandbox]:
    with sandbox(patients=(PATIENT, OTHER)) as running:
        yield running


@pytest.fixture(scope="module")
def whole(target: RunningSandbox) -> frozenset[str]:
    return ids_of(pulled(target.base_url))


@pytest.fixture
def proxy(target: RunningSandbox) -> Iterator[FaultProxy]:
    with FaultProxy(target.base_url, seed=7) as made:
        yield made


def by_batch(url: str, **given: Any) -> Pulled:
    return pulled(url, batch=Batch.AUTO, **given)


def batches(proxy: FaultProxy) -> int:
    return sum(map(faults.is_batch, proxy.seen))


def test_the_batch_replaces_the_searches(proxy: FaultProxy, whole: frozenset[str]) -> None:
    records = ServerRecords(client_at(proxy.url), page_size=100)
    for _ in range(2):
        found = records.pull(PATIENT, NEEDS)
        assert (ids_of(found), whys(found)) == (whole, frozenset())
    found_by = [one for one in proxy.seen[-3:] if faults.is_search(one)]
    assert [one.path for one in found_by] in ([], ["/Patient/_search"]), "who was merged, at most"
    assert found.requests <= 3


# -------------------------------------------------- what a single search proves, in a batch


@pytest.mark.parametrize("name", [*HARMLESS, *LOSSY])
def test_a_fault_inside_batches_alone_costs_nothing(
    proxy: FaultProxy, whole: frozenset[str], name: str
) -> None:
    fault, on, how = HARMLESS[name] if name in HARMLESS else LOSSY[name][0]
    proxy.arm(faults.in_batch(fault(), on), on=faults.is_batch, **how)
    found = by_batch(proxy.url)
    assert (ids_of(found), whys(found)) == (whole, frozenset())


@pytest.mark.parametrize("name", LOSSY)
def test_what_a_fault_takes_away_everywhere_is_said_with_its_reason(
    proxy: FaultProxy, whole: frozenset[str], name: str
) -> None:
    (fault, on, how), expected = LOSSY[name]
    proxy.arm(faults.in_batch(fault(), on), on=faults.is_batch)
    proxy.arm(fault(), on=on, **how)
    found = by_batch(proxy.url)
    assert whys(found) >= expected
    assert_nothing_is_lost_in_silence(found, whole)


@pytest.mark.parametrize("name", HARMLESS)
def test_a_fault_everywhere_that_can_be_mended_costs_nothing(
    proxy: FaultProxy, whole: frozenset[str], name: str
) -> None:
    fault, on, how = HARMLESS[name]
    proxy.arm(faults.in_batch(fault(), on), on=faults.is_batch, **how)
    proxy.arm(fault(), on=on, **how)
    found = by_batch(proxy.url)
    assert (ids_of(found), whys(found)) == (whole, frozenset())


# -------------------------------------------------------------------- faults of batches alone

EMPTY = b'{"resourceType":"Bundle","type":"batch-response"}'


def rotated() -> faults.Fault:
    return faults.of_entries(lambda entries: [*entries[1:], entries[0]])


def all_alike() -> faults.Fault:
    """Every entry is the answer to the last one."""
    return faults.of_entries(lambda entries: [entries[-1]] * len(entries))


def without(element: str) -> faults.Fault:
    return faults.of_entries(
        lambda entries: [{k: v for k, v in one.items() if k != element} for one in entries]
    )


def answered_each(status: str) -> faults.Fault:
    return faults.of_entries(lambda entries: [{"response": {"status": status}}] * len(entries))


def nothing(bundle: dict[str, Any]) -> dict[str, Any]:
    links = [one for one in bundle["link"] if one["relation"] == "self"]
    return {"entry": [], "total": 0, "link": links}


def emptied_searches() -> faults.Fault:
    """Nobody has anything, and the self link is as it should be."""

    def emptied(entries: list[Any]) -> list[Any]:
        return [
            {**one, "resource": {**one["resource"], **nothing(one["resource"])}}
            if one.get("resource", {}).get("type") == "searchset" else one
            for one in entries
        ]  # fmt: skip

    return faults.of_entries(emptied)


def withheld_outside() -> faults.Fault:
    """The warning stands beside the resource."""
    issue = {"severity": "warning", "code": "suppressed"}
    outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
    return faults.of_entries(
        lambda entries: [{**e, "response": {**e["response"], "outcome": outcome}} for e in entries]
    )


BATCHES: dict[str, faults.Fault] = {
    "reordered": faults.reordered(),
    "rotated": rotated(),
    "one missing": faults.missing_entry(),
    "one repeated": faults.repeated_entry(),
    "one in place of another": faults.swapped_entry(),
    "one emptied": faults.emptied_entry(),
    "all alike": all_alike(),
    "no resources": without("resource"),
    "no statuses": without("response"),
    "each refused": answered_each("403 Forbidden"),
    "each throttled": answered_each("429"),
    "each broken": answered_each("500"),
    "emptied": emptied_searches(),
    "withheld": withheld_outside(),
    "no entries": faults.status(200, {}, EMPTY),
    "another resource": faults.status(200, {}, b'{"resourceType":"Basic"}'),
    "HTML": faults.html(),
    "an error in HTML": faults.html(500),
    "404": faults.status(404),
    "403": faults.unauthorized(),
    "throttled": faults.throttled(429, "1"),
    "unavailable": faults.status(503),
    "cut": faults.cut_body(),
    "lost": faults.cut_before_commit(),
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_bad_batch_costs_requests_and_nothing_else(
    proxy: FaultProxy, whole: frozenset[str], name: str
) -> None:
    proxy.arm(BATCHES[name], on=faults.is_batch)
    found = by_batch(proxy.url, budget=RetryBudget(tries=2))
    assert batches(proxy)
    assert (ids_of(found), whys(found)) == (whole, frozenset())


@pytest.mark.parametrize("name", ["404", "HTML", "each refused", "reordered", "emptied"])
def test_batches_that_never_work_are_given_up(
    proxy: FaultProxy, whole: frozenset[str], name: str
) -> None:
    proxy.arm(BATCHES[name], on=faults.is_batch)
    records = ServerRecords(client_at(proxy.url), page_size=3)
    for _ in range(3):
        assert ids_of(records.pull(PATIENT, NEEDS)) == whole
    sent = batches(proxy)
    again = ServerRecords(client_at(proxy.url), page_size=3, capability_of=records)
    assert ids_of(again.pull(PATIENT, NEEDS)) == whole
    assert batches(proxy) == sent


def test_a_batch_that_was_lost_once_is_tried_again(
    proxy: FaultProxy, whole: frozenset[str]
) -> None:
    proxy.arm(faults.html(), on=faults.is_batch, times=1)
    records = ServerRecords(client_at(proxy.url), page_size=100)
    first, second = (records.pull(PATIENT, NEEDS) for _ in range(2))
    assert ids_of(first) == ids_of(second) == whole
    assert second.requests < first.requests


@pytest.mark.parametrize("seed", range(12))
def test_many_faults_at_once_lose_nothing_in_silence(
    target: RunningSandbox, whole: frozenset[str], seed: int
) -> None:
    with FaultProxy(target.base_url, seed=seed) as proxy:
        for fault, on in (
            (faults.throttled(), faults.is_any),
            (faults.cut_body(), faults.is_any),
            (faults.reordered(), faults.is_batch),
            (faults.swapped_entry(), faults.is_batch),
            (emptied_searches(), faults.is_batch),
            (faults.in_batch(faults.missing_entry()), faults.is_batch),
            (faults.in_batch(faults.html(502)), faults.is_batch),
            (faults.missing_entry(), faults.is_page),
            (faults.expired_page(), faults.is_page),
        ):
            proxy.arm(fault, on=on, chance=0.2)
        try:
            found = by_batch(proxy.url, budget=RetryBudget(tries=3))
        except ServerFault:
            return
        assert_nothing_is_lost_in_silence(found, whole)


def test_no_patient_stands_in_an_address(proxy: FaultProxy) -> None:
    by_batch(proxy.url)
    assert batches(proxy)
    searches = [one for one in proxy.seen if faults.is_search(one)]
    assert not [one for one in searches if PATIENT in str(one.query)]


@pytest.mark.parametrize(
    ("batch", "offered", "sent"),
    [
        (Batch.AUTO, True, True),
        (Batch.AUTO, False, False),
        (Batch.ALWAYS, False, True),
        (Batch.NEVER, True, False),
    ],
)
def test_a_batch_is_sent_where_the_server_says_so_or_it_was_set(
    proxy: FaultProxy, whole: frozenset[str], batch: Batch, offered: bool, sent: bool
) -> None:
    if not offered:
        proxy.arm(faults.lying_metadata(rest=[]), on=faults.is_metadata)
    found = pulled(proxy.url, batch=batch)
    assert (ids_of(found), whys(found)) == (whole, frozenset())
    assert bool(batches(proxy)) is sent
