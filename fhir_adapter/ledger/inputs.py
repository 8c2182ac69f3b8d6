"""What a decision was made from, kept so that it can be made again byte for byte.

The least that does it: the normalised record with people's answers in it, as canonical JSON,
compressed (the pulled resources are not needed: the facts are what is judged), and three answers
that no record holds: basis, decline, opt-out. Study, mappings, facts schema and engine are named by
hash or version and must be there again in the same form.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.model.hashing import canonical

_LEVEL = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """Everything beside the record that the decision rests on."""

    mappings: str
    """Version of the site's mappings."""
    engine: str
    """Version of this package."""
    facts_schema: int
    basis: bool
    declined: bool
    opted_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A record as it was judged, and on which basis."""

    record: PatientRecord
    on: Basis


def packed(record: PatientRecord) -> tuple[str, bytes]:
    """Digest of the canonical form, and that form compressed."""
    plain = canonical(record)
    return sha256(plain).hexdigest(), zlib.compress(plain, _LEVEL)


def unpacked(body: bytes) -> PatientRecord:
    """The record, digit for digit."""
    return msgspec.json.decode(zlib.decompress(body), type=PatientRecord)
