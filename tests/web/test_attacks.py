"""Hostile text in records and studies reaches neither card nor page; canaries leak nowhere."""

from __future__ import annotations

import html
import json
import logging
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from web.web_for_tests import CANDIDATE, HOOK, STUDY, call, cards, client, prefetch

from fhir_adapter.bootstrap.service import Service
from fhir_adapter.present.cards import SUMMARY_LIMIT, Told, bare, card, harmless

pytestmark = pytest.mark.untraced

CORPUS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<form action=https://evil.example><input type=password>",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "<https://evil.example>",
    "https://evil.example/x www.evil.example me@evil.example",
    "`code` **bold** # head\n\n- list\n> quote",
    "\u202eevil\u202c \u0000 \u2066x\u2069",
    "&lt;script&gt; &#60;b&#62;",
    '" onmouseover="alert(1)',
    "{{7*7}} {% debug %} ${7*7}",
    "<svg/onload=alert(1)>",
    "=cmd|' /C calc'!A0",
)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.handlers += [v for n, v in attrs if n in ("href", "src") and v and "evil" in v]


def tags(text: str) -> _Tags:
    parser = _Tags()
    parser.feed(text)
    return parser


@pytest.mark.parametrize("text", CORPUS)
def test_hostile_text_is_shown_and_means_nothing(text: str) -> None:
    made = harmless(text)
    assert tags(made).found == []
    assert not re.search(r"[<>`*_\[\]()!|~]", made)
    assert "://" not in made
    assert not re.search(r"www\.\w", made)
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069\x00]", html.unescape(made))
    assert not re.search(r"[<>`\[\]&]", bare(text))


@given(st.text(max_size=300))
def test_any_text_is_harmless(text: str) -> None:
    made = harmless(text)
    assert "\n" not in made
    assert tags(made).found == []
    assert not re.search(r"[<>`*_\[\](){}!|~:@]", made)


def poisoned(made: Service, text: str) -> dict[str, Any]:
    """A prefetch in which every text, display, unit and id-like string of people is hostile."""
    sent = prefetch(CANDIDATE, made)
    raw = json.loads(json.dumps(sent))

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in ("display", "text", "unit", "family") and isinstance(inner, str):
                    value[key] = text
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(raw)
    return raw


@pytest.mark.parametrize("text", CORPUS)
@pytest.mark.slow
def test_a_card_holds_none_of_it(web: TestClient, made: Service, text: str) -> None:
    for found in cards(web, CANDIDATE, prefetch=poisoned(made, text)):
        said = json.dumps(found, ensure_ascii=False)
        assert tags(html.unescape(said) if "&#" not in said else said).handlers == []
        assert "<" not in said
        assert "evil.example/x" not in said
        assert len(found["summary"]) <= SUMMARY_LIMIT


@pytest.mark.parametrize("text", CORPUS)
@pytest.mark.slow
def test_a_hostile_study_title_is_harmless_too(made: Service, text: str) -> None:
    (one,) = made.screen(CANDIDATE, made.benches, None)
    assert one.decision is not None
    bench = made.benches[0]
    study = bench.package.study
    bad = msgspec.structs.replace(
        study, identity=msgspec.structs.replace(study.identity, title=text), id=STUDY
    )
    found = card([Told(decision=one.decision, study=bad, zone=bench.zone)], uuid="u")
    assert "<" not in json.dumps(found)


def test_pages_escape_what_a_record_says(made: Service) -> None:
    """The pages are served from the record as pulled; poison it on its way."""
    real = made.records

    class Poisoned:
        def patients(self) -> Any:
            return real().patients()

        def pull(self, patient: str, needs: Any) -> Any:
            pulled = real().pull(patient, needs)
            for resource in pulled.resources:
                for key in ("code", "medicationCodeableConcept"):
                    for coding in resource.get(key, {}).get("coding", []):
                        coding["display"] = CORPUS[0] + CORPUS[1]
                if "valueQuantity" in resource:
                    resource["valueQuantity"].setdefault("unit", "")
            return pulled

    made.records = Poisoned  # type: ignore[assignment] # stands for the real one
    made.refresh()
    with client(made) as web:
        text = web.get(f"/worklist/{STUDY}/{made.handle(CANDIDATE)}").text
    found = tags(text)
    assert "script" not in found.found, "the patient's page has no script at all"
    assert "img" not in found.found
    assert found.handlers == []
    assert "&lt;script&gt;" in text


def test_no_canary_in_logs_errors_or_metrics(
    made: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    name, patient = "Zanzibarius", "canary-4711"
    sent = json.loads(json.dumps(prefetch(CANDIDATE, made)).replace(CANDIDATE, patient))
    sent["patient"]["name"] = [{"family": name}]
    with client(made) as web:
        answers = [
            web.post(HOOK, json=call(patient, prefetch=sent)),
            web.post(HOOK, json={**call(patient), "hook": name}),
            web.post(HOOK, content=f'{{"{name}": '.encode()),
            web.post("/fhir/Patient/$match-trials", json={"resourceType": name}),
            web.post("/fhir/ResearchStudy/$prescreen", json={
                "resourceType": "Parameters", "parameter": [
                    {"name": "patient", "valueString": patient},
                    {"name": "study", "valueString": name}]}),
            web.get(f"/worklist/{name}"),
            web.get(f"/worklist/{STUDY}/{patient}"),
        ]  # fmt: skip
        metrics = web.get("/metrics").text
    assert answers[0].json()["cards"], "the canary is a candidate"
    ours = [str(vars(one)) for one in caplog.records if not one.name.startswith("httpx2")]
    assert len(ours) > len(answers), "this service logs each request"
    said = "\n".join((metrics, *ours, *(answer.text for answer in answers[1:])))
    assert name not in said
    assert patient not in said
