"""JSON, addresses, credentials and Retry-After, without a network."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fhir_adapter.client import BasicAuth, BearerAuth, FhirClient, escaped
from fhir_adapter.client.retry import retry_after
from fhir_adapter.client.urls import base_of, origin_of, query, resolved, same_origin, segment
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.fhir.outcome import issues_of
from fhir_adapter.fhir.wire import decode, encode


@pytest.mark.parametrize(
    "text", ["1.50", "0.1000000000000000055", "1E+2", "100000000000000000001.5"]
)
def test_a_decimal_keeps_every_digit_both_ways(text: str) -> None:
    data = f'{{"resourceType":"Basic","value":{text}}}'.encode()

    found = decode(data)

    assert found is not None
    assert found["value"] == Decimal(text)
    assert encode(found) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[1]",
        b'{"a":1}',
        b'{"resourceType":1}',
        b'{"resourceType":"\xff"}',
        b"[" * 100_000,
        b'{"resourceType":"Basic","v":NaN}',
    ],
)
def test_what_is_no_resource_is_none(data: bytes) -> None:
    assert decode(data) is None


def test_a_byte_order_mark_is_skipped() -> None:
    assert decode(b'\xef\xbb\xbf{"resourceType":"Basic"}') == {"resourceType": "Basic"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://a.example",
        "http://",
        "https://u:p@a.example/fhir",
        "https://u@a.example",
        "https://a.example?x=1",
        "https://a.example#x",
        "http://a:b:c/x",
    ],
)
def test_an_address_that_is_no_base_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        base_of(url)
    assert not url or url not in str(caught.value)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("?page=2", "http://h/fhir/Patient?page=2"),
        ("Patient?page=2", "http://h/fhir/Patient?page=2"),
        ("/fhir/Patient?page=2", "http://h/fhir/Patient?page=2"),
        ("http://h/fhir?_getpages=1", "http://h/fhir?_getpages=1"),
    ],
)
def test_a_relative_link_has_one_meaning(link: str, expected: str) -> None:
    assert resolved(link, base="http://h/fhir", asked="http://h/fhir/Patient?a=1") == expected


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://H:443/x", True),
        ("http://h/x", False),
        ("https://h:8443/", False),
        ("https://h:443:443/", False),
        ("//h/", False),
        ("https://h.evil/", False),
        ("https://h@evil/", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, same: bool) -> None:
    assert same_origin(url, "https://h/fhir") is same


def test_an_origin_needs_a_host() -> None:
    assert origin_of("mailto:a@b") is None


@pytest.mark.parametrize("text", ["", ".", ".."])
def test_a_dot_is_no_id(text: str) -> None:
    assert segment(text) is None


def test_an_id_cannot_leave_its_segment() -> None:
    assert segment("../x?y") == "..%2Fx%3Fy"


def test_a_search_repeats_a_tuple_and_escapes_what_is_meant_literally() -> None:
    assert (
        query({"date": ("ge1", "lt2"), "patient": escaped("a,b")})
        == "date=ge1&date=lt2&patient=a%5C,b"
    )


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("3", "", 3.0),
        ("Mon, 23 Nov 2026 10:00:30 GMT", "Mon, 23 Nov 2026 10:00:00 GMT", 30.0),
        ("Mon, 23 Nov 2026 10:00:30 -0000", "Mon, 23 Nov 2026 10:00:00 GMT", 30.0),
        ("Mon, 23 Nov 2026 09:00:00 GMT", "Mon, 23 Nov 2026 10:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 10:00:30 GMT", "", None),
        ("soon", "", None),
        ("-5", "", None),
        ("", "", None),
    ],
)
def test_retry_after_has_two_forms(value: str, date: str, seconds: float | None) -> None:
    assert retry_after(value, date) == seconds


def test_no_secret_shows_in_a_repr() -> None:
    client = FhirClient("http://h/fhir", auth=BasicAuth("canary-user", "canary-pass"))
    assert "canary" not in repr(client) + repr(BasicAuth("canary", "canary"))
    assert "canary" not in repr(BearerAuth(lambda: "canary"))


def test_a_password_does_not_renew_itself() -> None:
    auth = BasicAuth("u", "p")
    assert auth.renewed(auth.header()) == auth.header() == "Basic dTpw"


@pytest.mark.parametrize(
    "outcome", [None, {"resourceType": "Basic"}, {"resourceType": "OperationOutcome"}]
)
def test_no_outcome_has_no_issues(outcome: dict[str, str] | None) -> None:
    assert issues_of(outcome) == ()


def test_only_codes_of_the_standard_are_repeated() -> None:
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [
            {"severity": "Jane Doe", "code": "Jane Doe"},
            {"severity": "warning", "code": "invalid"},
            7,
        ],
    }
    assert [str(i) for i in issues_of(outcome)] == [
        "error/unknown-code",
        "warning/invalid",
        "error/unknown-code",
    ]


@pytest.mark.parametrize("end", ["?x=1", "#x", "/?x=1", "?"])
def test_a_base_url_with_a_query_is_told_so(end: str) -> None:
    with pytest.raises(SettingInvalid, match="holds a query or a fragment") as caught:
        base_of(f"https://ehr.example/fhir{end}")
    assert "x=1" not in str(caught.value)


def test_an_address_that_cannot_be_read_at_all_is_none() -> None:
    with pytest.raises(SettingInvalid, match="not an http or https address"):
        base_of("http://[x/fhir")
