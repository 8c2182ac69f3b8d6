"""What a stop reads may not be readable: nobody is proposed on the strength of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.cli_for_tests import AS_OF, run, sandbox
from fault_proxy import FaultProxy, of_type, status

OPTED_OUT = "36-opted-out"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("with_small_study")
def test_who_may_have_opted_out_is_not_proposed_where_consents_cannot_be_read() -> None:
    with sandbox(patients=(OPTED_OUT,)) as server, FaultProxy(server.base_url) as proxy:
        proxy.arm(status(403), on=of_type("Consent"))
        asked = ("screen", "--server", proxy.url, "--as-of", AS_OF, "--json", "--write")
        found = run(*asked, FHIR_ADAPTER_SITE_KEY="a secret of the site").json
        assert [one for one in found["written"] if one["created"]] == []
