"""Canonical bytes and named hashes: the same value gives the same bytes on every machine."""

from __future__ import annotations

import hashlib

import msgspec

_ENCODER = msgspec.json.Encoder(order="sorted", decimal_format="string")


def canonical(value: object) -> bytes:
    """JSON with sorted keys; unset defaults of structs are left out by their own definition."""
    return _ENCODER.encode(value)


def digest(*values: object) -> str:
    """sha256 (hex) over the canonical form of each value, in order."""
    found = hashlib.sha256()
    for value in values:
        found.update(canonical(value))
        found.update(b"\n")
    return found.hexdigest()
