"""Settings of the three servers: tables, environment, secrets, and what is said of mistakes."""

from __future__ import annotations

import os
from pathlib import Path

import certifi
import pytest

from fhir_adapter.bootstrap.clients import record_client, study_client, write_client
from fhir_adapter.bootstrap.connections import auth_of, headers_of, network_of
from fhir_adapter.bootstrap.records import categories_of, server_records
from fhir_adapter.client import BearerAuth, SmartAuth
from fhir_adapter.errors import SettingInvalid, SettingsFault, SettingUnknown
from fhir_adapter.settings import Connection, Loaded, Settings, load, setting_names

from key_files import EC_PEM, private_file


def loaded(tmp_path: Path, text: str = "", **environment: str) -> Loaded:
    file = tmp_path / "fhir-adapter.toml"
    file.write_text(text)
    return load(command_line={}, environment=environment, file=file)


TABLE = """
study = "NCT05985863"
[server.record]
url = "https://ehr.example/fhir"
smart-client = "me"
concurrency = 3
requests_per_second = 2.5
[server.write]
url = "https://registry.example/fhir"
ca_file = "/etc/ca.pem"
"""


def test_a_table_is_the_same_as_names_with_the_server_in_front(tmp_path: Path) -> None:
    found = loaded(tmp_path, TABLE)
    assert found.settings.record_server == "https://ehr.example/fhir"
    assert found.settings.record == Connection(
        smart_client="me", concurrency="3", requests_per_second="2.5"
    )
    assert found.settings.write == Connection(ca_file="/etc/ca.pem")
    assert found.settings.studies == Connection()
    assert found.origins["record_concurrency"].endswith(".toml")


def test_flat_names_of_the_file_work_and_the_environment_goes_first(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        'record_proxy = "http://a.example:1"\nstudy_server = "https://s.example"\n'
        'study_ca_file = "c"\nwrite_server = "https://w.example"\nwrite_concurrency = 7',
        FHIR_ADAPTER_RECORD_PROXY="http://b.example:2",
        FHIR_ADAPTER_STUDY_SMART_CLIENT="s",
    )
    assert found.settings.record.proxy == "http://b.example:2"
    assert found.settings.studies == Connection(ca_file="c", smart_client="s")
    assert found.settings.write.concurrency == "7"
    assert found.origins["record_proxy"] == "environment"


MISTAKES = {
    "a key of no table": ("[server.record]\nca_fil = 'x'", "Did you mean 'ca_file'?"),
    "a key with its server": ("[server.record]\nrecord_ca_file = 'x'", "unknown setting"),
    "a server of no kind": ("[server.record2]\nurl = 'x'", "Did you mean 'server.record'?"),
    "no table": ("server = 'x'", "no table"),
    "no table below": ("[server]\nrecord = 'x'", "no table"),
    "twice": ("record_proxy = 'x'\n[server.record]\nproxy = 'y'", "stands twice"),
    "a flat name": ("record_ca_fle = 'x'", "Did you mean 'record_ca_file'?"),
    "a secret": ("[server.record]\nsmart_key = 'x'", "FHIR_ADAPTER_RECORD_SMART_KEY"),
    "a secret by its key": ("[server.record]\nsmart_key = 'x'", "(smart_key in [server.record])"),
    "a token by its key": ("[server.write]\ntoken = 'x'", "(token in [server.write]) is a secret"),
    "a truth by its key": (
        "[server.record]\nconcurrency = true",
        "(concurrency in [server.record])",
    ),
    "no address": ("[server.write]\nca_file = 'x'", "write_ca_file (ca_file in [server.write]) is"),
    "a batch of the study server": ("[server.study]\nbatch = 'never'", "unknown setting"),
    "a number as text": ("[server.record]\nca_file = 3", "quotes"),
    "a truth": ("[server.record]\nconcurrency = true", "quotes"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_table_names_its_key(name: str, tmp_path: Path) -> None:
    text, said = MISTAKES[name]
    with pytest.raises(SettingsFault) as caught:
        loaded(tmp_path, text)
    assert said in str(caught.value)


def test_an_unknown_name_of_the_environment_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingUnknown, match="record_ca_file"):
        loaded(tmp_path, FHIR_ADAPTER_RECORD_CA_FIL="x")


def test_a_key_comes_from_a_file_that_is_closed_to_others(tmp_path: Path) -> None:
    key = private_file(tmp_path / "key.pem", EC_PEM)
    text = f'[server.record]\nsmart_key = "@{key}"'
    assert loaded(tmp_path, text).settings.record.smart_key == EC_PEM.strip()
    key.chmod(0o440)
    loaded(tmp_path, text)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620])
def test_a_key_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    key = private_file(tmp_path / "key.pem", EC_PEM)
    key.chmod(mode)
    with pytest.raises(SettingInvalid, match="chmod 600") as caught:
        loaded(tmp_path, f'[server.record]\nsmart_key = "@{key}"')
    assert "BEGIN" not in str(caught.value)


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match=r"\(smart_key in \[server.record\]\) cannot"):
        loaded(tmp_path, '[server.record]\nsmart_key = "@/nowhere/key.pem"')


def test_nothing_secret_is_in_force_to_be_seen(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        '[server.record]\nheaders = "X-Tenant-ID: canary; Other:canary2"\n'
        'proxy = "http://u:canary3@p.example:1"',
        FHIR_ADAPTER_RECORD_SMART_KEY="canary4",
    )
    shown = {one.name: one.value for one in found.in_force()}
    assert shown["record_headers"] == "X-Tenant-ID: (hidden); Other: (hidden)"
    assert shown["record_proxy"] == "http://(hidden)@p.example:1"
    assert shown["record_smart_key"] == "(set)"
    assert "canary" not in repr(found.settings)
    assert set(shown) == set(setting_names())


def test_headers_may_stand_in_a_file_one_on_each_line(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("X-Tenant-ID: a\nOcp-Apim-Subscription-Key: b\n")
    found = loaded(tmp_path, f'[server.record]\nheaders = "@{tmp_path / "headers"}"')
    assert headers_of(found.settings.record, "record") == {
        "X-Tenant-ID": "a",
        "Ocp-Apim-Subscription-Key": "b",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("X-Tenant-ID", "X-Tenant-ID: a"),
        ("Bad Name: x", "cannot be read"),
        ("X: \u2603", "cannot be read"),
        ("Authorization: Bearer canary", "record_token"),
        ("if-match: canary", "client sets itself"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_and_not_shown(text: str, said: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        headers_of(Connection(headers=text), "record")
    assert said in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ca_file": "/nowhere.pem"}, "record_ca_file (ca_file in [server.record]) cannot be read"),
        ({"client_key": "KEY"}, "and record_client_cert is not"),
        ({"proxy": "proxy.example:1"}, "record_proxy (proxy in [server.record]) is no address"),
        ({"concurrency": "0"}, "from 1 to 64"),
        ({"concurrency": "2.5"}, "from 1 to 64"),
        ({"concurrency": "many"}, "no number"),
        ({"requests_per_second": "-1"}, "no number"),
        ({"requests_per_second": "inf"}, "no number"),
        ({"post_search": "always"}, "auto or never"),
        ({"smart_client": "me"}, "record_smart_key (smart_key in [server.record]) is not set"),
        ({"smart_key": "k"}, "record_smart_client (smart_client in [server.record]) is not set"),
        ({"smart_client": "me", "smart_key": "k"}, "cannot be read"),
    ],
)
def test_a_connection_that_cannot_be_is_named(
    given: dict[str, str], said: str, tmp_path: Path
) -> None:
    key = private_file(tmp_path / "k.pem", EC_PEM)
    values = {name: str(key) if text == "KEY" else text for name, text in given.items()}
    settings = Settings(record_server="https://h.example/fhir", record=Connection(**values))
    with pytest.raises(SettingInvalid) as caught:
        record_client(settings)
    assert said in f"{caught.value.message} {caught.value.remedy}"


def test_a_token_and_a_smart_client_exclude_each_other() -> None:
    smart = Connection(smart_client="me", smart_key=EC_PEM)
    with pytest.raises(SettingInvalid, match="two ways"):
        auth_of(smart, "token", "https://h.example/fhir", "record")
    found = auth_of(smart, "", "https://h.example/fhir", "record")
    assert (type(found), repr(found)) == (SmartAuth, "SmartAuth()")
    assert isinstance(auth_of(Connection(), "t", "https://h.example", "record"), BearerAuth)


@pytest.mark.parametrize("token", ["can\nary", "canary\r\nX-More: 1", "can\u2026ary"])
def test_a_token_that_no_header_can_hold_is_said_before_it_is_sent(token: str) -> None:
    with pytest.raises(SettingInvalid, match="the token of the record server") as caught:
        auth_of(Connection(), token, "https://h.example/fhir", "record")
    assert "record_token" in caught.value.remedy
    assert "ary" not in str(caught.value)


def test_a_certificate_and_its_key_are_taken_by_absolute_path(tmp_path: Path) -> None:
    cert, key = (private_file(tmp_path / name, EC_PEM) for name in ("c.pem", "k.pem"))
    base = "https://h.example/fhir"
    both = Connection(client_cert=str(cert), client_key=str(key), ca_file=certifi.where())
    assert network_of(both, base, "record").client_cert == (str(cert), str(key))
    assert network_of(both, base, "record").ca_file == certifi.where()
    one = Connection(client_cert=str(cert))
    assert network_of(one, base, "record").client_cert == str(cert)
    key.chmod(0o644)
    with pytest.raises(SettingInvalid, match="open to others"):
        network_of(both, base, "record")


def test_clients_of_one_host_share_their_gate() -> None:
    at = Connection(concurrency="2", requests_per_second="9")
    first = network_of(at, "https://shared.example/fhir", "record").gate
    assert network_of(at, "https://SHARED.example:443/other", "write").gate is first
    assert network_of(at, "https://elsewhere.example/fhir", "record").gate is not first


def test_a_server_without_an_address_is_the_record_server() -> None:
    settings = Settings(record_server="https://h.example/fhir")
    assert {c(settings).base_url for c in (record_client, study_client, write_client)} == {
        "https://h.example/fhir"
    }
    other = Settings(
        record_server="https://h.example/fhir",
        study_server="https://s.example",
        write_server="https://w.example",
    )
    assert study_client(other).base_url == "https://s.example"
    assert write_client(other).base_url == "https://w.example"
    with pytest.raises(SettingInvalid, match="no record server"):
        record_client(Settings())


def test_only_the_record_server_has_batches() -> None:
    assert [name for name in setting_names() if name.endswith("_batch")] == ["record_batch"]


@pytest.mark.parametrize("said", ["", " ; "])
def test_without_categories_a_patient_alone_is_asked(said: str) -> None:
    assert categories_of(said) == {}


def test_categories_are_read_by_type() -> None:
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    found = categories_of(f"Observation: laboratory, {system}|exam; Condition:problem-list-item")
    assert found == {
        "Observation": ("laboratory", f"{system}|exam"),
        "Condition": ("problem-list-item",),
    }
    given = Settings(
        record_server="https://ehr.example", record=Connection(categories="Observation: exam")
    )
    assert server_records(given).searches("Observation") == ({"category": "exam"},)


@pytest.mark.parametrize(
    "said", ["Observation", "Observation:", "Observation: a,,b", "Consent: x", "laboratory",
             "Observation: a&patient=1", "Observation: a, b c"],
)  # fmt: skip
def test_categories_that_cannot_be_read_are_named(said: str) -> None:
    with pytest.raises(SettingInvalid, match="record_categories"):
        categories_of(said)


def test_what_is_no_way_to_batch_is_named() -> None:
    wrong = Settings(record_server="https://ehr.example", record=Connection(batch="sometimes"))
    with pytest.raises(SettingInvalid, match="record_batch is unknown"):
        server_records(wrong)


@pytest.mark.parametrize(("said", "batches"), [("always", True), ("never", False)])
def test_a_batch_is_sent_as_it_is_set(*, said: str, batches: bool) -> None:
    given = Settings(record_server="https://ehr.example", record=Connection(batch=said))
    assert server_records(given).batches() is batches


@pytest.mark.parametrize("server", ["study", "write"])
def test_how_to_reach_a_server_that_is_not_named_is_no_setting(tmp_path: Path, server: str) -> None:
    """Found by an outsider: a CA file for a server without an address was left out in silence."""
    text = f'[server.{server}]\nca_file = "/etc/ca.pem"\n'
    with pytest.raises(SettingInvalid, match=f"no {server}_server"):
        loaded(tmp_path, text)
    with_address = loaded(tmp_path, f'{text}url = "https://there.example/fhir"\n')
    assert getattr(with_address.settings, f"{server}_server") == "https://there.example/fhir"


def test_a_mistyped_name_is_unknown_whatever_its_value(tmp_path: Path) -> None:
    with pytest.raises(SettingUnknown):
        loaded(tmp_path, "stduy = 1\n")
