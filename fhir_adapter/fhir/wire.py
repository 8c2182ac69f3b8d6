"""JSON as FHIR needs it: a decimal keeps every digit, both ways (R4 datatypes, decimal)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from fhir_adapter.fhir.reading import is_array, is_object
from fhir_adapter.ports import Resource

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def decode(data: bytes) -> Resource | None:
    """One JSON object with a resourceType; None where the bytes are anything else.

    >>> decode(b'{"resourceType": "Basic", "value": 1.50}')
    {'resourceType': 'Basic', 'value': Decimal('1.50')}
    """
    resource = as_object(decode_any(data))
    return resource if isinstance(resource.get("resourceType"), str) else None


def is_blank(line: bytes) -> bool:
    """Whether nothing but white space, or a byte order mark, stands there."""
    return not line.removeprefix(_BYTE_ORDER_MARK).strip()


def decode_any(data: bytes) -> object:
    """Any JSON value with exact decimals; None for null and for bytes that are not JSON."""
    try:
        return _DECODER.decode(data.removeprefix(_BYTE_ORDER_MARK))
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError, RecursionError):
        return None


def encode(resource: Resource) -> bytes:
    """The resource as UTF-8 JSON; decimals are written with the digits they hold.

    >>> encode({"resourceType": "Basic", "value": Decimal("1.50")})
    b'{"resourceType":"Basic","value":1.50}'
    """
    return _ENCODER.encode(resource)


def as_object(value: object) -> dict[str, Any]:
    """The JSON object; an empty one for anything else, for records are not always valid."""
    return value if is_object(value) else {}


def as_array(value: object) -> list[Any]:
    """The JSON array; an empty one for anything else."""
    found: list[Any] = value if is_array(value) else []
    return found
