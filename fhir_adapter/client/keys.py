"""The private key that signs our assertions. It shows in no repr, error or log line."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, RSAKey, import_key

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.fhir.wire import as_array, as_object, decode_any

_SMALLEST_RSA = 2048
_REMEDY = (
    "Give an RSA key of 2048 bits or more, or an EC key on P-384, as unencrypted PEM or as JWK, "
    "with its private part."
)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """RS384 for RSA, ES384 for EC P-384: what SMART demands of every server.

    ``key_id`` is the kid under which the server knows the public part.
    """

    key_id: str
    algorithm: str
    _key: RSAKey | ECKey = field(repr=False)

    def signed(self, claims: Mapping[str, str | int]) -> str:
        """A JWT over the claims."""
        header = {"alg": self.algorithm, "kid": self.key_id, "typ": "JWT"}
        return jwt.encode(header, dict(claims), self._key, algorithms=[self.algorithm])


def signing_key(text: str, *, key_id: str = "") -> SigningKey:
    """A PEM, a JWK, or a JWK Set with one private key; SettingInvalid names what is wrong.

    Without ``key_id`` the kid is the JWK's own, else its thumbprint (RFC 7638).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # of short keys: they are refused below
        key = _imported(text.strip())
    if key is None or not key.is_private:
        raise _invalid("the SMART key cannot be read, or has no private part")
    return SigningKey(key_id or key.kid or key.thumbprint(), _algorithm(key), key)


def _algorithm(key: RSAKey | ECKey) -> str:
    if isinstance(key, ECKey):
        if key.curve_name != "P-384":
            raise _invalid("the SMART key is on another curve than P-384")
        return "ES384"
    if key.raw_value.key_size < _SMALLEST_RSA:
        raise _invalid("the SMART key is an RSA key that is too short")
    return "RS384"


def _imported(text: str) -> RSAKey | ECKey | None:
    if text.startswith("{"):
        return _of_jwk(as_object(decode_any(text.encode())))
    return _pem(text, RSAKey) or _pem(text, ECKey)


def _pem(text: str, kind: type[RSAKey | ECKey]) -> RSAKey | ECKey | None:
    try:
        return kind.import_key(text)
    except (JoseError, ValueError, TypeError):
        return None


def _of_jwk(found: dict[str, Any]) -> RSAKey | ECKey | None:
    private = [one for one in map(as_object, as_array(found.get("keys"))) if "d" in one]
    if "keys" in found and len(private) != 1:
        raise _invalid(f"the JWK Set holds {len(private)} private keys, not one")
    try:
        key = import_key(private[0] if private else found)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, RSAKey | ECKey) else None


def _invalid(said: str) -> SettingInvalid:
    """Built outside any except block: the library's own error may quote the key."""
    return SettingInvalid(said, remedy=_REMEDY)
