"""Searches: what counts as whole, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_adapter.client import BearerAuth, FhirClient
from fhir_adapter.errors import NotFhir, ServerBroken

Make = Callable[..., FhirClient]


def page(*ids: str, **more: Any) -> dict[str, Any]:
    links = [{"relation": k, "url": v} for k, v in more.pop("links", {}).items()]
    entries = [
        {"resource": {"resourceType": "Basic", "id": i}, "search": {"mode": "match"}} for i in ids
    ]
    entries += more.pop("entries", [])
    return {"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries, **more}


def ids_of(found: Any) -> list[str]:
    return [match["id"] for match in found.matches]


@pytest.mark.parametrize("link", ["?p=2", "Basic?p=2", "/fhir/Basic?p=2", "{url}/Basic?p=2"])
def test_pages_are_followed_to_the_end(server: Any, reply: Any, client_of: Make, link: str) -> None:
    links = {"next": link.replace("{url}", server.url)}
    server.say(reply(page("1", "2", total=3, links=links)), reply(page("3", total=3)))
    found = client_of(server).search("Basic", {"code": "x"})
    assert (ids_of(found), found.complete, found.pages, found.total) == (
        ["1", "2", "3"],
        True,
        2,
        3,
    )
    assert server.seen[1].path == "/fhir/Basic?p=2"
    assert all(seen.headers["Prefer"] == "handling=strict" for seen in server.seen)


def test_a_post_search_keeps_its_parameters_out_of_the_address(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(page("1", links={"self": f"{server.url}/Basic/_search"})))
    found = client_of(server, prefer_post=True).search("Basic", {"patient": "canary"})
    assert server.seen[0].path == "/fhir/Basic/_search"
    assert server.seen[0].body == b"patient=canary"
    assert (found.self_stated, found.complete) == (False, True)


def test_a_foreign_next_link_is_refused_and_sent_nothing(
    server: Any, other_server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(page("1", links={"next": f"{other_server.url}/Basic?p=2"})))
    found = client_of(server, auth=BearerAuth(lambda: "t")).search("Basic", {})
    assert (found.complete, found.why_not, ids_of(found)) == (False, "foreign-next-link", ["1"])
    assert other_server.seen == []


def test_a_loop_of_links_ends(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(page("1", links={"next": "?p=2"})), reply(page("2", links={"next": "?p=2"})))
    assert client_of(server).search("Basic", {}).why_not == "next-link-loop"
    assert len(server.seen) == 2


def test_there_is_a_most_of_pages(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(page("1", links={"next": "?p=2"})), reply(page("2", links={"next": "?p=3"})))
    assert client_of(server, max_pages=2).search("Basic", {}).why_not == "too-many-pages"


def test_fewer_than_the_total_is_cut_short(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(page("1", total=2)))
    found = client_of(server).search("Basic", {})
    assert (found.complete, found.why_not) == (False, "cut-short")


def test_a_resource_sent_twice_counts_once(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(page("1", "1", total=2, links={"next": "?p=2"})), reply(page("1")))
    found = client_of(server).search("Basic", {})
    assert (ids_of(found), found.why_not) == (["1"], "cut-short")


def test_resources_without_id_are_all_kept(server: Any, reply: Any, client_of: Make) -> None:
    nameless = {"resource": {"resourceType": "Basic"}}
    server.say(reply(page(entries=[nameless, nameless], total=2)))
    assert client_of(server).search("Basic", {}).complete


def test_included_resources_stand_apart(server: Any, reply: Any, client_of: Make) -> None:
    entries = [
        {"resource": {"resourceType": "Medication", "id": "m"}, "search": {"mode": "include"}},
        {"resource": {"resourceType": "Basic", "id": "b"}, "search": {"mode": "include"}},
    ]
    server.say(reply(page("1", entries=entries, total=1)))
    found = client_of(server).search("Basic", {})
    assert (ids_of(found), [r["id"] for r in found.included]) == (["1"], ["m", "b"])


@pytest.mark.parametrize(
    ("severity", "code", "why_not"),
    [
        ("warning", "not-supported", ""),
        ("warning", "suppressed", "withheld-by-server"),
        ("error", "exception", "withheld-by-server"),
        ("information", "incomplete", "withheld-by-server"),
    ],
)
def test_an_outcome_among_the_entries_is_noticed(
    server: Any, reply: Any, client_of: Make, severity: str, code: str, why_not: str
) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code}]}
    entry = {"resource": outcome, "search": {"mode": "outcome"}}
    server.say(reply(page("1", entries=[entry], total=1)))
    found = client_of(server).search("Basic", {})
    assert [str(issue) for issue in found.issues] == [f"{severity}/{code}"]
    assert found.why_not == why_not
    assert ids_of(found) == ["1"]


@pytest.mark.parametrize("entry", [{}, 7, {"resource": 7}, {"resource": {}}])
def test_an_entry_without_resource_is_a_gap(
    server: Any, reply: Any, client_of: Make, entry: Any
) -> None:
    server.say(reply(page("1", entries=[entry])))
    assert client_of(server).search("Basic", {}).why_not == "entry-without-resource"


@pytest.mark.parametrize(
    ("self_query", "ignored", "why_not"),
    [
        ("?patient=1&_count=5", (), ""),
        ("?patient:Patient=1&_count=5", (), ""),
        ("?patient=1", ("_count",), ""),
        ("?_count=5", ("patient",), "parameter-ignored"),
        ("", ("patient", "_count"), "parameter-ignored"),
    ],
)
def test_a_parameter_missing_from_self_was_ignored(
    server: Any, reply: Any, client_of: Make, self_query: str, ignored: Any, why_not: str
) -> None:
    links = {"self": f"{server.url}/Basic{self_query}", "next": "?p=2"}
    server.say(reply(page("1", links=links)), reply(page("2")))
    found = client_of(server).search("Basic", {"patient": "1", "_count": "5"})
    assert (found.ignored, found.why_not, found.self_stated) == (ignored, why_not, True)
    assert len(server.seen) == (1 if why_not else 2)


@pytest.mark.parametrize(
    ("status", "body", "why_not"),
    [
        (410, {}, "page-expired"),
        (403, {}, "forbidden"),
        (500, {}, "server-broken"),
        (200, b"<html>", "not-fhir"),
    ],
)
def test_a_later_page_that_fails_makes_the_search_incomplete(
    server: Any, reply: Any, client_of: Make, status: int, body: Any, why_not: str
) -> None:
    server.say(reply(page("1", links={"next": "?p=2"})), reply(body, status=status))
    found = client_of(server).search("Basic", {})
    assert (found.why_not, ids_of(found)) == (why_not, ["1"])


def test_a_first_page_that_fails_raises(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(status=400), reply({"resourceType": "Basic"}))
    with pytest.raises(ServerBroken):
        client_of(server).search("Basic", {})
    with pytest.raises(NotFhir):
        client_of(server).search("Basic", {})


@pytest.mark.parametrize(
    "bundle", [{}, {"entry": 7, "link": 7}, {"link": [7, {"relation": "other"}]}]
)
def test_a_strange_bundle_is_read_as_far_as_it_goes(
    server: Any, reply: Any, client_of: Make, bundle: Any
) -> None:
    server.say(reply({"resourceType": "Bundle", **bundle}))
    found = client_of(server).search("Basic", {})
    assert (found.matches, found.complete) == ((), True)


def searched(client: FhirClient, **params: str) -> tuple[list[str], str]:
    found = client.search("Basic", params)
    return ids_of(found), found.why_not


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_search_whose_page_expired_begins_again_and_counts_nothing_twice(
    server: Any, reply: Any, client_of: Make, status: int
) -> None:
    server.say(
        reply(page("1", "2", total=4, links={"next": "?p=2"})),
        reply(status=status),
        reply(page("1", "2", total=4, links={"next": "?p=9"})),
        reply(page("3", "4")),
    )
    assert searched(client_of(server), patient="1") == (["1", "2", "3", "4"], "")
    assert [seen.path for seen in server.seen] == [
        "/fhir/Basic?patient=1",
        "/fhir/Basic?p=2",
        "/fhir/Basic?patient=1",
        "/fhir/Basic?p=9",
    ]


def test_what_was_lost_between_two_walks_shows_against_the_total(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(
        reply(page("1", total=3, links={"next": "?p=2"})),
        reply(status=410),
        reply(page("1", total=3, links={"next": "?p=9"})),
        reply(page("3")),
    )
    assert searched(client_of(server)) == (["1", "3"], "cut-short")


def test_a_search_begins_again_twice_at_the_most(server: Any, reply: Any, client_of: Make) -> None:
    walk = [reply(page("1", total=2, links={"next": "?p=2"})), reply(status=410)]
    server.say(*walk, *walk, *walk, *walk)
    assert searched(client_of(server)) == (["1"], "page-expired")
    assert len(server.seen) == 6


def test_resources_without_id_are_not_counted_twice_by_beginning_again(
    server: Any, reply: Any, client_of: Make
) -> None:
    nameless = {"resource": {"resourceType": "Basic"}}
    server.say(reply(page(entries=[nameless], total=2, links={"next": "?p=2"})), reply(status=410))
    found = client_of(server).search("Basic", {})
    assert (found.why_not, len(found.matches)) == ("page-expired", 1)


def test_a_server_that_breaks_down_on_beginning_again_says_so(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(page("1", links={"next": "?p=2"})), reply(status=410), reply(status=500))
    assert searched(client_of(server)) == (["1"], "server-broken")


@pytest.mark.parametrize(
    ("total", "why_not"), [(2, ""), (3, "cut-short"), (1, "cut-short"), (None, "cut-short")]
)
def test_without_a_total_a_full_last_page_is_counted(
    server: Any, reply: Any, client_of: Make, total: int | None, why_not: str
) -> None:
    server.say(reply(page("1", "2")), reply(page(total=total)))
    assert searched(client_of(server), patient="1", _count="2") == (["1", "2"], why_not)
    assert server.seen[1].path == "/fhir/Basic?patient=1&_summary=count"


def test_a_server_that_does_not_count_proves_no_end(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(page("1")), reply(status=400))
    assert searched(client_of(server), _count="1") == (["1"], "cut-short")


@pytest.mark.parametrize("count", ["1", "3"])
def test_a_last_page_of_another_size_is_an_end(
    server: Any, reply: Any, client_of: Make, count: str
) -> None:
    server.say(reply(page("1", "2")))
    assert searched(client_of(server), _count=count) == (["1", "2"], "")
    assert len(server.seen) == 1


@pytest.mark.parametrize("link", ["?p=2", "Basic?p=2", "/fhir/Basic?p=2"])
def test_a_page_after_a_posted_search_is_got_from_the_type(
    server: Any, reply: Any, client_of: Make, link: str
) -> None:
    server.say(reply(page("1", links={"next": link})), reply(page("2")))
    assert searched(client_of(server, prefer_post=True), patient="1") == (["1", "2"], "")
    assert (server.seen[1].method, server.seen[1].path) == ("GET", "/fhir/Basic?p=2")


@pytest.mark.parametrize(
    ("params", "method"),
    [
        ({"patient": "canary"}, "POST"),
        ({"patient:Patient": "canary", "_count": "5"}, "POST"),
        ({"identifier": "canary"}, "POST"),
        ({"_count": "5", "_lastUpdated": "ge2026-01-01"}, "GET"),
        ({"status": "x" * 2000}, "POST"),
        ({}, "GET"),
    ],
)
def test_only_a_search_that_names_somebody_or_is_long_goes_by_post(
    server: Any, reply: Any, client_of: Make, params: dict[str, str], method: str
) -> None:
    server.say(reply(page("1")))
    client_of(server, prefer_post=True).search("Basic", params)
    assert (server.seen[0].method, "canary" in server.seen[0].path) == (method, False)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 415, 501])
def test_a_server_without_post_search_is_asked_by_get_from_then_on(
    server: Any, reply: Any, client_of: Make, status: int
) -> None:
    server.say(reply(status=status), reply(page("1")))
    client = client_of(server, prefer_post=True)
    assert searched(client, patient="1") == (["1"], "")
    assert searched(client, patient="1") == (["1"], "")
    assert [seen.method for seen in server.seen] == ["POST", "GET", "GET"]


def test_a_search_that_neither_way_answers_proves_nothing_about_post(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(status=400), reply(status=400), reply(page("1")), reply(status=400))
    client = client_of(server, prefer_post=True)
    with pytest.raises(ServerBroken):
        client.search("Basic", {"nonsense": "1"})
    assert searched(client, patient="1") == (["1"], "")
    with pytest.raises(ServerBroken):
        client.search("Basic", {"nonsense": "1"})
    assert [seen.method for seen in server.seen] == ["POST", "GET", "POST", "POST"]
