"""Addresses of a ledger: what is one, what is refused, and that no password is ever said."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.ledger import open_ledger
from fhir_adapter.ledger.address import connecting, shown, url_of, with_password
from tests.ledger.conftest import Place, StandingClock

SECRET = "hunter2/with@signs"


@pytest.mark.parametrize(
    "address",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "",
        "mysql://u@h/d",
        "postgresql+psycopg://u@h/d",
        "postgresql://h/d",
        "postgresql://u@h",
        "postgresql://u@h/d?sslmode=prefer",
        "postgresql://u@h/d?password=x",
        "postgresql://u@h:port/d",
        "x://y",
    ],
)
def test_what_is_no_address_is_refused_and_not_quoted(address: str) -> None:
    with pytest.raises(SettingInvalid, match="the ledger's address") as caught:
        url_of(address)
    assert not address or address not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("folder/ledger.sqlite", "folder/ledger.sqlite"),
        ("sqlite:////srv/ledger.sqlite", "/srv/ledger.sqlite"),
        ("postgresql://u@db/d", "postgresql+pg8000://u@db/d"),
        ("postgres://u@db/d", "postgresql+pg8000://u@db/d"),
        (
            "postgresql+pg8000://u:p@db:6432/d?sslmode=require",
            "postgresql+pg8000://u:***@db:6432/d",
        ),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, said: str) -> None:
    assert shown(url_of(address)) == said


def test_the_password_of_the_setting_fills_a_gap_and_replaces_nothing() -> None:
    assert with_password(url_of("postgresql://u@h/d"), SECRET).password == SECRET
    assert with_password(url_of("postgresql://u:own@h/d"), SECRET).password == "own"
    assert SECRET not in shown(with_password(url_of("postgresql://u@h/d"), SECRET))


def test_to_another_machine_the_certificate_is_verified_unless_said_otherwise() -> None:
    assert connecting(url_of("postgresql://u@127.0.0.1/d"))["ssl_context"] is False
    assert connecting(url_of("postgresql://u@h/d?sslmode=disable"))["ssl_context"] is False
    whole = connecting(url_of("postgresql://u@h/d"))["ssl_context"]
    assert (whole.verify_mode, whole.check_hostname) == (ssl.CERT_REQUIRED, True)
    loose = connecting(url_of("postgresql://u@h/d?sslmode=require"))["ssl_context"]
    assert loose.verify_mode == ssl.CERT_NONE


def test_certificates_that_cannot_be_read_are_named_as_the_trouble() -> None:
    with pytest.raises(SettingInvalid, match="sslrootcert"):
        connecting(url_of("postgresql://u@h/d?sslrootcert=/nowhere"))


def test_a_database_that_does_not_answer_is_said_without_its_password(
    clock: StandingClock,
) -> None:
    with pytest.raises(SettingInvalid, match="ledger-fault") as caught:
        open_ledger("postgresql://u@127.0.0.1:9/d", clock, password=SECRET)
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.__context__!r}"


def test_a_missing_driver_is_said_with_what_to_install(
    clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("pg8000")

    monkeypatch.setattr("fhir_adapter.ledger.database.create_engine", gone)
    with pytest.raises(SettingInvalid, match=r"fhir-adapter\[postgres\]"):
        open_ledger("postgresql://u@127.0.0.1/d", clock)


def test_a_ledger_says_where_it_is(place: Place, clock: StandingClock, path: Path) -> None:
    ledger = place.open(clock)
    if place.server is None:
        assert (ledger.kind, ledger.place) == ("sqlite", str(path))
    else:
        assert ledger.kind == "postgresql"
        assert place.password not in ledger.place
    ledger.close()
