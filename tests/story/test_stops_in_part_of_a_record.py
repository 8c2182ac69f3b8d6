"""What a stop reads may not be readable: nobody is proposed on the strength of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.cli_for_tests import AS_OF, run, sandbox
from fault_proxy import FaultProxy, of_type, status

OPTED_OUT = "36-opted-out"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("with_small_study")
@pytest.mark.parametrize("answer", [403, 404, 500])
@pytest.mark.parametrize("batch", ["auto", "never"])
def test_who_may_have_opted_out_is_not_proposed_where_consents_cannot_be_read(
    answer: int, batch: str
) -> None:
    """Also a 404 of one search: the server lists Consent, and it may be this patient's alone."""
    with sandbox(patients=(OPTED_OUT,)) as server, FaultProxy(server.base_url) as proxy:
        proxy.arm(status(answer), on=of_type("Consent"))
        asked = ("screen", "--server", proxy.url, "--as-of", AS_OF, "--json", "--write")
        env = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}
        found = run(*asked, **env, FHIR_ADAPTER_RECORD_BATCH=batch).json
    (decision,) = found["decisions"]
    if batch == "never":
        assert decision["unproved"] == ["opted-out"]
        assert "opted out is not known: no proposal" in decision["sentence"]
        assert [one for one in found["written"] if one["created"]] == []
    else:  # a batch is no search of Consent: the proxy lets it through
        assert decision["stops"] == ["opted-out"]


def without_encounters(answer: int) -> Any:
    patient = "03-encephalopathy-without-grade"
    with sandbox(patients=(patient,)) as server, FaultProxy(server.base_url) as proxy:
        proxy.arm(status(answer), on=of_type("Encounter"))
        asked = ("screen", "--server", proxy.url, "--as-of", AS_OF, "--json")
        found = run(*asked, FHIR_ADAPTER_RECORD_BATCH="never").json
    (decision,) = found["decisions"]
    return decision


@pytest.mark.parametrize("answer", [403, 404])
def test_whoever_may_have_died_is_not_proposed_where_encounters_cannot_be_read(answer: int) -> None:
    assert without_encounters(answer)["unproved"] == ["deceased"]


def test_an_admission_that_was_not_retrieved_is_not_taken_to_begin_now() -> None:
    """Without Encounters there was no admission, and so no withdrawal in it."""
    (withdrawal,) = [one for one in without_encounters(403)["criteria"] if one["number"] == "E11"]
    assert (withdrawal["effect"], withdrawal["assumed"]) == ("open", False)
