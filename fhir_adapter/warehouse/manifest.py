"""The manifest of a store: which files are its tables, and with what they were written."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec

from fhir_adapter.errors import StoreMissing, StoreOutdated
from fhir_adapter.model.fact import FACTS_SCHEMA
from fhir_adapter.model.tables import TABLES_SCHEMA

NAME = "manifest.json"


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket as it stands."""

    load: int
    """The load that wrote it: its folder; 0 where nobody is in it."""
    patients: int = 0
    resources: int = 0
    facts: int = 0
    last_number: int = 0
    """How many patient numbers were ever given in it: none is given twice."""
    issues: dict[str, int] = {}
    """Data-quality code to count, of its own resources."""
    incomplete: dict[str, int] = {}
    """Kind of fact to patients for whom it was not retrieved whole."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader must know before it touches a table."""

    tables_schema: int = TABLES_SCHEMA
    facts_schema: int = FACTS_SCHEMA
    facts_basis: str
    """Hash of all that facts/ reads besides the records: site rules and unit table."""
    site: str
    load: int
    """Loads into this store so far; the dictionary lies in the folder of this one."""
    buckets: tuple[Bucket, ...]
    transaction_time: str = ""
    """Of the export, where it says one; the next increment asks for what came since."""
    origin: str = ""
    """Of the export, where a server made it: an increment must be of the same."""
    files: dict[str, str] = {}
    """Label of each file of the last load to its sha256."""
    issues: dict[str, int] = {}
    """Data-quality code to count, over all files."""

    @property
    def patients(self) -> int:
        """Everybody in the store."""
        return sum(bucket.patients for bucket in self.buckets)

    @property
    def incomplete(self) -> dict[str, int]:
        """Kind of fact to patients of the store for whom it was not retrieved whole."""
        found: Counter[str] = Counter()
        for bucket in self.buckets:
            found.update(bucket.incomplete)
        return dict(sorted(found.items()))

    @property
    def resources(self) -> int:
        """Resources behind the facts, each once per patient."""
        return sum(bucket.resources for bucket in self.buckets)

    @property
    def facts(self) -> int:
        """Rows of the fact table."""
        return sum(bucket.facts for bucket in self.buckets)


class _Numbers(msgspec.Struct):
    tables_schema: int
    facts_schema: int


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a store, its schema numbers compared before anything else is believed."""
    try:
        data = (folder / NAME).read_bytes()
        numbers = msgspec.json.decode(data, type=_Numbers)
        _hold("fact columns", numbers.facts_schema, FACTS_SCHEMA)
        _hold("tables", numbers.tables_schema, TABLES_SCHEMA)
        return msgspec.json.decode(data, type=Manifest)
    except FileNotFoundError:
        raise _missing("no fact tables in the folder") from None
    except (OSError, msgspec.DecodeError):
        raise _missing("the manifest of the fact tables cannot be read") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The switch from one set of tables to the next: one atomic rename, flushed to the disk."""
    beside = folder / f"{NAME}.new"
    with beside.open("wb") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(folder / NAME)


def hold_basis(manifest: Manifest, site: str, facts_basis: str) -> None:
    """StoreOutdated unless the tables were made for this site with these mappings."""
    if manifest.site != site:
        raise StoreOutdated(
            f"the tables are of site {manifest.site!r}, the question is for {site!r}",
            where="store",
            remedy=f"Ask for that site: --site {manifest.site}, or a site file that says "
            f'name = "{manifest.site}".',
        )
    if manifest.facts_basis != facts_basis:
        raise _outdated("the tables were written with another unit table or other site rules")


def broken_file() -> StoreMissing:
    """The manifest names a file that is not there, or that cannot be read."""
    return StoreMissing(
        "a file of the fact tables is gone or broken",
        where="store",
        remedy="Load the whole export again, into a new folder.",
    )


def _hold(what: str, stored: int, ours: int) -> None:
    if stored != ours:
        raise _outdated(f"the {what} have schema {stored}, this version reads {ours}")


def _missing(text: str) -> StoreMissing:
    return StoreMissing(
        text, where="store", remedy="Make one: fhir-adapter cohort load FOLDER --store DIR."
    )


def _outdated(text: str) -> StoreOutdated:
    return StoreOutdated(
        text, where="store", remedy="Load the whole export again, into a new folder."
    )
