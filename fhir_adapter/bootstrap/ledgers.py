"""The ledger of some settings; the database libraries are loaded only where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.model.fact import FACTS_SCHEMA
from fhir_adapter.ports import Clock
from fhir_adapter.screening import Screened
from fhir_adapter.settings import Settings
from fhir_adapter.version import __version__

if TYPE_CHECKING:
    from fhir_adapter.ledger import Judged, Ledger

_FILE = "sqlite:///"
_LONGEST = 36_500


def file_of(settings: Settings) -> Path | None:
    """The SQLite file; None where the ledger is a database of a server."""
    address = settings.ledger
    if "://" in address and not address.startswith(_FILE):
        return None
    return Path(address.removeprefix(_FILE))


def is_there(settings: Settings) -> bool:
    """Whether there is anything to open: a file may not exist yet, a server's database does."""
    file = file_of(settings)
    return file is None or file.is_file()


def make_room(settings: Settings) -> None:
    """The folder that ledger_of makes, for who asks a server first: it is refused before that."""
    file = file_of(settings)
    if file is not None:
        _make_folder(file.parent)


def ledger_of(settings: Settings, clock: Clock, *, make: bool = False) -> Ledger:
    """The ledger; ``make``: the folder of a file too, for its owner alone."""
    from fhir_adapter.ledger import open_ledger  # noqa: PLC0415 - as said above

    file = file_of(settings)
    if file is not None and make:
        _make_folder(file.parent)
    elif file is not None and not file.is_file():
        raise SettingInvalid(
            "there is no ledger yet",
            where="ledger",
            remedy="Made by the first `screen --write`, `watch --write` or `serve`; or name one.",
        )
    return open_ledger(
        settings.ledger, clock, password=settings.ledger_password, site_key=settings.site_key
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingInvalid(
            f"the ledger's folder cannot be made ({type(error).__name__})",
            where="ledger",
            remedy="Name a file in a folder that this account may make, or that exists.",
        ) from None


def retention_days(settings: Settings) -> int:
    """For how long values are kept; at least a day."""
    text = settings.retention_days.strip()
    if text.isdecimal() and 0 < int(text) <= _LONGEST:
        return int(text)
    raise SettingInvalid(
        "retention_days is not a number of days",
        remedy=f"Write a whole number between 1 and {_LONGEST}.",
    )


def judged_of(one: Screened, mappings: str) -> Judged | None:
    """What a decision was made from, to be kept with it."""
    from fhir_adapter.ledger import Basis, Judged  # noqa: PLC0415 - as said above

    if one.record is None or one.said is None:
        return None
    return Judged(
        record=one.record,
        on=Basis(
            mappings=mappings,
            engine=__version__,
            facts_schema=FACTS_SCHEMA,
            basis=one.said.basis,
            declined=one.said.declined,
            opted_out=one.said.opted_out,
        ),
    )
