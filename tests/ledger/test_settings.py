"""The settings of a ledger: where a password may stand, and that none is ever printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_adapter.bootstrap import SystemClock
from fhir_adapter.bootstrap.ledgers import file_of, is_there, ledger_of, retention_days
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.settings import Loaded, Settings, load

ADDRESS = "postgresql://u:p@ss/w@rd@db.example/d?sslmode=require"


def loaded(file: Path, said: str = "", **environment: str) -> Loaded:
    file.write_text(said)
    return load(command_line={}, environment=environment, file=file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fhir-adapter.toml"


def shown(found: Loaded, name: str) -> str:
    return next(one.value for one in found.in_force() if one.name == name)


def test_an_address_with_a_password_stands_in_the_environment_and_is_not_shown(file: Path) -> None:
    found = loaded(file, FHIR_ADAPTER_LEDGER=ADDRESS)
    assert found.settings.ledger == ADDRESS
    assert shown(found, "ledger") == "postgresql://(hidden)@db.example/d"


@pytest.mark.parametrize("address", [ADDRESS, "postgresql://u@h/d?password=secret"])
def test_an_address_with_a_password_stands_nowhere_else(file: Path, address: str) -> None:
    with pytest.raises(SettingInvalid, match="holds a secret") as caught:
        loaded(file, f'ledger = "{address}"')
    assert address not in str(caught.value)
    with pytest.raises(SettingInvalid, match="holds a secret"):
        load(command_line={"ledger": address}, environment={})


def test_a_whole_address_or_a_password_may_stand_in_a_file_of_its_own(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "address").write_text(ADDRESS + "\n")
    (tmp_path / "password").write_text("pw\n")
    found = loaded(
        file, f'ledger = "@{tmp_path}/address"\nledger_password = "@{tmp_path}/password"'
    )
    assert (found.settings.ledger, found.settings.ledger_password) == (ADDRESS, "pw")
    assert shown(found, "ledger_password") == "(set)"


@pytest.mark.parametrize("address", ["postgresql://u@h/d", "folder/ledger.sqlite"])
def test_an_address_without_a_password_stands_anywhere_and_is_shown(
    file: Path, address: str
) -> None:
    found = loaded(file, f'ledger = "{address}"')
    assert found.settings.ledger == address
    assert shown(found, "ledger") in (address, "postgresql://(hidden)@h/d")


def test_a_file_has_to_be_there_and_a_database_is_taken_at_its_word(tmp_path: Path) -> None:
    path = tmp_path / "in" / "ledger.sqlite"
    settings = Settings(ledger=f"sqlite:///{path}")
    assert file_of(settings) == path
    assert not is_there(settings)
    with pytest.raises(SettingInvalid, match="no ledger yet"):
        ledger_of(settings, SystemClock())
    ledger_of(settings, SystemClock(), make=True).close()
    assert is_there(settings)
    assert file_of(Settings(ledger="postgresql://u@h/d")) is None
    assert is_there(Settings(ledger="postgresql://u@h/d"))


def test_the_days_of_retention_are_a_number() -> None:
    assert retention_days(Settings()) == 180
    assert retention_days(Settings(retention_days=" 7 ")) == 7
