"""The ledger's address: a SQLite file, or a PostgreSQL database, and never its password in a word.

    .fhir-adapter/ledger.sqlite              a file
    sqlite:////srv/fhir-adapter/ledger.sqlite  the same, as an address
    postgresql://adapter@db.example/prescreen?sslmode=verify-full

TLS: to another machine the server's certificate is verified unless the address says otherwise
(``sslmode``: verify-full, require = encrypted and not verified, disable; ``sslrootcert``: a file
of certificates to trust).
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from fhir_adapter.errors import SettingInvalid

_POSTGRES = frozenset(("postgresql", "postgres"))
_HERE = frozenset((None, "", "localhost", "127.0.0.1", "::1"))
_TLS = ("verify-full", "require", "disable")
_KNOWN = frozenset(("sslmode", "sslrootcert"))
_REMEDY = (
    "Name a SQLite file (folder/ledger.sqlite), or a database: postgresql://user@host/database."
)


def url_of(address: str) -> URL:
    """The address as SQLAlchemy reads it; SettingInvalid, without the address, otherwise."""
    if "://" not in address:
        return _file(URL.create("sqlite", database=address))
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise _unusable("cannot be read") from None
    if url.drivername == "sqlite":
        return _file(url)
    if url.drivername.removesuffix("+pg8000") not in _POSTGRES:
        raise _unusable("is neither one of a SQLite file nor of a PostgreSQL database")
    return _database(url)


def _file(url: URL) -> URL:
    if url.database in {None, "", ":memory:"}:
        raise _unusable("names no file")
    return url


def _database(url: URL) -> URL:
    if not (url.database and url.username):
        raise _unusable("names no user or no database")
    if set(url.query) - _KNOWN:
        raise _unusable("says more than sslmode and sslrootcert after its question mark")
    if _mode(url) not in _TLS:
        raise _unusable(f"has an sslmode that is none of {', '.join(_TLS)}")
    return url.set(drivername="postgresql+pg8000")


def _mode(url: URL) -> str:
    said = url.query.get("sslmode")
    return str(said) if said else "disable" if url.host in _HERE else "verify-full"


def with_password(url: URL, password: str) -> URL:
    """The password of the setting ``ledger_password``, where the address has none."""
    return url.set(password=password) if password and not url.password else url


def connecting(url: URL) -> dict[str, Any]:
    """What pg8000 is told beside the address: how to speak TLS, and how long to wait."""
    return {"ssl_context": _tls(url), "timeout": 60, "application_name": "fhir-adapter"}


def _tls(url: URL) -> ssl.SSLContext | bool:
    """False: none at all; None would let pg8000 fall back to clear text in silence."""
    mode = _mode(url)
    if mode == "disable":
        return False
    roots = url.query.get("sslrootcert")
    try:
        made = ssl.create_default_context(cafile=str(roots) if roots else None)
    except (OSError, ssl.SSLError):
        raise _unusable("names an sslrootcert that cannot be read") from None
    if mode == "require":
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def shown(url: URL) -> str:
    """As it may be printed: the file, or user, host and database; never a password."""
    if url.drivername == "sqlite":
        return str(Path(str(url.database)))
    return url.set(query={}).render_as_string(hide_password=True)


def _unusable(why: str) -> SettingInvalid:
    return SettingInvalid(
        f"ledger-fault: the ledger's address {why}", where="ledger", remedy=_REMEDY
    )
