"""The teaching cohort on servers of others: the same decisions as on the sandbox, written once.

HAPI's JPA server in two lanes, and Medplum's router. Ids of ours are kept;
versions, and the id of our ResearchStudy, are each server's own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from fhir_adapter.sandbox import Interactions, RunningSandbox

import real_servers
import teaching_load
from cli.cli_for_tests import AS_OF, Ran, run
from fault_proxy import FaultProxy, Forward, Reply, Request

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}
REAL = ("hapi_defaults", "hapi_all_on", "medplum")
NO_EXPORT = {"hapi_defaults": "$export", "medplum": "no CapabilityStatement"}


@dataclass(frozen=True, kw_only=True)
class Site:
    """A server that holds our study and the cohort."""

    base: str
    home: Path
    no_export: str = ""
    """What the command says where the server has none."""
    seen: dict[str, Ran] = field(default_factory=dict)

    def screen(self, name: str, *more: str) -> Ran:
        """One run of the command, remembered by name."""
        if name not in self.seen:
            ledger = {"FHIR_ADAPTER_LEDGER": str(self.home / "ledger.sqlite")}
            asked = ("screen", "--server", self.base, "--as-of", AS_OF, "--json", *more)
            self.seen[name] = run(*asked, **KEY, **ledger)
        return self.seen[name]

    @property
    def first(self) -> Any:
        """Everybody judged, and proposals written."""
        found = self.screen("first", "--write")
        assert found.status == 0, found.err
        return found.json

    @property
    def again(self) -> Any:
        """Those who were proposed, a second time."""
        proposed = [one["patient"] for one in self.first["written"] if one["created"]]
        asked = [word for patient in proposed for word in ("--patient", patient)]
        found = self.screen("again", "--write", *asked)
        assert found.status == 0, found.err
        return found.json


def site(base: str, home: Path, *, no_export: str = "") -> Site:
    """The server with our study published and the cohort put there."""
    published = run("study", "publish", "--server", base, "--write", "--unsigned", "--json")
    assert published.status == 0, published.err
    assert [one for one in published.json if not one["verified"]] == []
    assert teaching_load.load(base) == ()
    return Site(base=base, home=home, no_export=no_export)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Interactions(now=lambda: datetime.now(UTC).isoformat())
    with RunningSandbox(made) as running:
        yield site(running.base_url, tmp_path_factory.mktemp("sandbox"))


@pytest.fixture(scope="module", params=REAL)
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    base = request.getfixturevalue(request.param)
    home = tmp_path_factory.mktemp(request.param)
    return site(base, home, no_export=NO_EXPORT.get(request.param, ""))


# ------------------------------------------------------------------------- the main proof


def test_everybody_is_judged_as_on_the_sandbox(sandbox: Site, real: Site) -> None:
    assert real.first["failed"] == sandbox.first["failed"] == []
    assert _comparable(real.first) == _comparable(sandbox.first)


def test_proposals_are_written_once(sandbox: Site, real: Site) -> None:
    assert _kinds(real.first) == _kinds(sandbox.first)
    assert sum(_kinds(real.first).values()) > 0
    assert _changed(real.again) == []
    assert [one["error"] for one in real.again["written"] if one["error"]] == []


def test_nobody_has_two_proposals(real: Site) -> None:
    proposed = [one["patient"] for one in real.first["written"] if one["created"]]
    _changed(real.again)
    for patient in proposed:
        found = _candidates(real.base, patient)
        assert len(found) == 1, patient


def test_publishing_again_changes_nothing(real: Site) -> None:
    again = run("study", "publish", "--server", real.base, "--write", "--unsigned", "--json")
    assert Counter(one["action"] for one in again.json).keys() == {"unchanged"}


# ----------------------------------------------------------------------- the cohort's lane


def test_an_export_is_judged_as_one_by_one_or_is_said_not_to_be_offered(
    real: Site, tmp_path: Path
) -> None:
    one_by_one = real.first
    store, out = str(tmp_path / "store"), tmp_path / "answers"
    with FaultProxy(real.base) as proxy:
        proxy.arm(_sooner)
        asked = ("cohort", "load", "--server", proxy.url, "--store", store, "--workers", "1")
        loading = run(*asked, "--json")
    if real.no_export:
        assert (loading.status, real.no_export in loading.flat) == (3, True)
        return
    assert loading.status == 0, loading.err
    assert (loading.json["not_retrieved"], loading.json["issues"]) == ({}, {})
    screening = ("cohort", "screen", store, "--as-of", AS_OF, "--json", "--out", str(out))
    found = run(*screening).json
    listed = {one["patient"]: one for one in one_by_one["decisions"]}
    assert found["decisions"] == [listed[one["patient"]] for one in found["decisions"]]
    assert found["counts"] == one_by_one["counts"]
    assert _exported(out) == {name: _effects(one) for name, one in listed.items()}


def _sooner(one: Request, forward: Forward) -> Reply:
    """HAPI would have us wait two minutes between two looks at its export."""
    found = forward(one)
    soon = {name: "1" if name == "Retry-After" else said for name, said in found.headers.items()}
    return replace(found, headers=soon)


def _effects(decision: Any) -> dict[str, Any]:
    """Outcome and effects; whom a stop ends has no criterion."""
    criteria = {one["number"]: one["effect"] for one in decision["criteria"]}
    return {"outcome": decision["outcome"], **criteria}


def _exported(out: Path) -> dict[str, dict[str, Any]]:
    rows = pyarrow.parquet.read_table(out).to_pylist()
    names = [name for name in rows[0] if f"{name} reason" in rows[0]]
    return {row["patient"]: _said(row, ("outcome", *names)) for row in rows}


def _said(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names if row[name] is not None}


# ------------------------------------------------------------------------------ comparing


def _comparable(found: Any) -> dict[str, Any]:
    """Decisions by patient; versions of the evidence are the server's own."""
    decisions = json.loads(json.dumps(found["decisions"]))
    for decision in decisions:
        for criterion in decision["criteria"]:
            for item in criterion["evidence"]:
                item.pop("version")
    return {one["patient"]: one for one in decisions}


def _kinds(found: Any) -> Counter[str]:
    created = (key for one in found["written"] for key in one["created"])
    return Counter(key.split("/")[0] for key in created)


def _changed(found: Any) -> list[Any]:
    return [one for one in found["written"] if one["created"] or one["updated"]]


def _candidates(base: str, patient: str) -> list[Any]:
    params = {"patient": patient, "_count": "50"}
    fresh = {"Cache-Control": "no-cache"}
    answer = requests.get(f"{base}/ResearchSubject", params=params, headers=fresh, timeout=60)
    subjects = (entry["resource"] for entry in answer.json().get("entry", ()))
    return [one for one in subjects if one["status"] == "candidate"]


# ------------------------------------------------------------------- what the lanes differ in


def test_the_lanes_of_hapi_are_as_they_say(hapi_defaults: str, hapi_all_on: str) -> None:
    away = {"resourceType": "Observation", "id": "refers-away", "status": "final"}
    away |= {"code": {"text": "x"}, "subject": {"reference": "https://ehr.example/fhir/Patient/1"}}
    assert [_put(base, away) for base in (hapi_defaults, hapi_all_on)] == [400, 201]
    number = {"resourceType": "Patient", "id": "4711"}
    assert [_put(base, number) for base in (hapi_defaults, hapi_all_on)] == [400, 201]
    offered = [_export_status(base) for base in (hapi_defaults, hapi_all_on)]
    assert offered == [400, 202]
    for one in (away, number):  # the tests run in any order, and everybody there is judged
        where = f"{hapi_all_on}/{one['resourceType']}/{one['id']}"
        assert requests.delete(where, timeout=60).ok


def _put(base: str, resource: dict[str, Any]) -> int:
    where = f"{base}/{resource['resourceType']}/{resource['id']}"
    return requests.put(where, json=resource, headers=_SENT, timeout=60).status_code


def _export_status(base: str) -> int:
    wanted = {"Prefer": "respond-async", "Accept": "application/fhir+json"}
    return requests.get(f"{base}/$export", headers=wanted, timeout=60).status_code


_SENT = {"Content-Type": "application/fhir+json"}


# ----------------------------------------------------- PostgreSQL and the authorization server


def test_postgres_answers(postgres: str) -> None:
    psql = shutil.which("psql")
    assert psql, "psql is not here (Debian: postgresql-client)"
    asked = [psql, postgres, "-Atc", "select current_user, version() like 'PostgreSQL %'"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30)
    assert (done.stdout, done.stderr) == ("adapter|t\n", "")


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_a_signed_assertion_brings_one_token_and_no_second(algorithm: str) -> None:
    rsa = algorithm == "RS384"
    made = {"kid": "k1", "use": "sig", "alg": algorithm}
    key = RSAKey.generate_key(2048, made) if rsa else ECKey.generate_key("P-384", made)
    with real_servers.oidc(KeySet([key]).as_dict(private=False)) as issuer:
        smart = requests.get(f"{issuer}/.well-known/smart-configuration", timeout=30).json()
        assertion = _assertion(key, smart["token_endpoint"])
        first, replayed = (_token(smart["token_endpoint"], assertion) for _ in range(2))
    assert (first.status_code, first.json()["token_type"]) == (200, "Bearer")
    assert first.json()["scope"] == "system/*.rs"
    assert (replayed.status_code, replayed.json()["error"]) == (401, "invalid_client")


def _assertion(key: RSAKey | ECKey, audience: str) -> str:
    now = int(datetime.now(UTC).timestamp())
    claims = {"iss": "fhir-adapter", "sub": "fhir-adapter", "aud": audience}
    claims |= {"iat": now, "exp": now + 240, "jti": "once"}
    algorithm = str(key.alg)
    return jwt.encode({"alg": algorithm, "kid": "k1"}, claims, key, algorithms=[algorithm])


def _token(endpoint: str, assertion: str) -> requests.Response:
    form = {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
    }
    return requests.post(endpoint, data=form, timeout=30)
