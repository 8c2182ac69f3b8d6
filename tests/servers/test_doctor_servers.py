"""The doctor on servers of others, and the sandbox held to what it says of HAPI."""

from __future__ import annotations

import pytest

pytest.importorskip("tests.servers.real_servers", reason="starts the servers")

from fhir_adapter.doctor import Report
from fhir_adapter.model.server import Verdict, WriteWay
from fhir_adapter.sandbox import HAPI, NOT_CLAIMED
from tests.servers.make_matrix import doctored, sandbox

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]
FAILS, WORKS = Verdict.FAILS, Verdict.WORKS


def claimed(report: Report) -> dict[str, str]:
    """Verdicts by id, without what the sandbox does not claim."""
    return {one.id: one.verdict.value for one in report.findings if one.id not in NOT_CLAIMED}


@pytest.fixture(scope="module")
def all_on(hapi_all_on: str) -> Report:
    return doctored(hapi_all_on)


@pytest.fixture(scope="module")
def on_medplum(medplum: str) -> Report:
    return doctored(medplum)


def test_the_sandbox_with_its_habits_does_what_hapi_does(all_on: Report) -> None:
    with sandbox(HAPI) as base:
        here = doctored(base)
    assert claimed(here) == claimed(all_on)


def test_hapi_does_what_the_sandbox_does_not_claim(all_on: Report) -> None:
    assert {name: all_on.profile.verdict(name) for name in NOT_CLAIMED} == dict.fromkeys(
        NOT_CLAIMED, WORKS
    )


def test_hapi_has_all_that_the_adapter_needs_and_is_left_clean(all_on: Report) -> None:
    assert not all_on.has_needed_failure
    assert all_on.left_behind == ()
    assert all_on.profile.subject_way is WriteWay.CONDITIONAL_CREATE


def test_hapi_as_it_comes_holds_what_is_referred_to(hapi_defaults: str) -> None:
    report = doctored(hapi_defaults)
    assert report.left_behind == ()
    assert report.profile.fails("write.delete-referenced")
    assert report.profile.works("validation.dangling")


def test_medplum_keeps_the_first_entry_of_a_failed_transaction(on_medplum: Report) -> None:
    assert on_medplum.left_behind == ()
    assert on_medplum.profile.fails("bundle.rollback")


@pytest.mark.parametrize(
    "check",
    ["metadata.present", "query.has", "query.quantity", "query.unknown-strict", "paging.next",
     "operation.export", "kept.decimal", "validation.required-code"],
)  # fmt: skip
def test_what_was_measured_on_medplum_is_seen(on_medplum: Report, check: str) -> None:
    assert on_medplum.profile.fails(check)
