"""Why there is no answer, and what to do about it."""

from __future__ import annotations

from enum import Enum

import requests
from urllib3.exceptions import NameResolutionError

from fhir_adapter.errors import AdapterError, NotFhir, ServerBroken, ServerUnreachable


class Lost(Enum):
    """Why there is no answer."""

    UNREACHABLE = "no connection"
    UNRESOLVED = "its name cannot be resolved"
    TIMED_OUT = "no answer in time"
    PROXY = "the proxy did not connect"
    UNTRUSTED = "its certificate is not trusted"
    MISNAMED = "its certificate is for another name"
    HANDSHAKE = "the TLS handshake was broken off"
    CUT = "the answer was cut off"
    GARBLED = "the answer's compression is broken"
    UNSENDABLE = "the request could not be sent"
    FOREIGN_REDIRECT = "it redirects to another origin"
    REDIRECTED = "its redirects do not end or would change the request"


REPEATED_LOSSES = frozenset({Lost.UNREACHABLE, Lost.UNRESOLVED, Lost.TIMED_OUT, Lost.CUT})
_NOT_FHIR = frozenset({Lost.CUT, Lost.GARBLED})
_BROKEN = frozenset({Lost.FOREIGN_REDIRECT, Lost.REDIRECTED})
_REMEDIES = {
    Lost.UNREACHABLE: "Check the base URL, the port and the proxy settings.",
    Lost.UNRESOLVED: "Check the host in the base URL (and in the setting proxy), and whether this "
    "machine can resolve it.",
    Lost.TIMED_OUT: "Look whether the server is overloaded (the setting concurrency lowers how "
    "much is asked at once), and whether a firewall or proxy drops what is sent.",
    Lost.PROXY: "Check the proxy's address and what it lets through: the setting proxy, else "
    "HTTPS_PROXY and NO_PROXY in the environment.",
    Lost.UNTRUSTED: "Name the authority's certificate file in the setting ca_file.",
    Lost.MISNAMED: "Give the base URL with a name that stands in the certificate, or have one "
    "issued for this name; the authority is trusted.",
    Lost.HANDSHAKE: "If it wants a client certificate, set client_cert and client_key to a pair "
    "that it knows; if it speaks no TLS, the address begins with http.",
    Lost.CUT: "Ask for smaller pages; look for a proxy with a size limit.",
    Lost.GARBLED: "Look for a proxy that rewrites answers.",
    Lost.UNSENDABLE: "Check the base URL, the certificate files, and the token for line breaks.",
    Lost.FOREIGN_REDIRECT: "Give the address it redirects to as base URL, if you trust it.",
    Lost.REDIRECTED: "Give the final address as base URL.",
}
_LOSSES: tuple[tuple[type[Exception], Lost], ...] = (
    (requests.exceptions.ProxyError, Lost.PROXY),
    (requests.exceptions.SSLError, Lost.HANDSHAKE),
    (requests.exceptions.Timeout, Lost.TIMED_OUT),
    (requests.exceptions.ConnectionError, Lost.UNREACHABLE),
    (requests.exceptions.ChunkedEncodingError, Lost.CUT),
    (requests.exceptions.ContentDecodingError, Lost.GARBLED),
)
_UNVERIFIED = "certificate_verify_failed"
"""What OpenSSL says of a certificate; every other fault of TLS lies elsewhere."""
_ANOTHER_NAME = ("hostname mismatch", "ip address mismatch")
"""What it says further where the chain is good and the name is not (X509_V_ERR_*_MISMATCH)."""


def loss_of(error: Exception) -> Lost:
    """The library's error in our words."""
    if isinstance(error, requests.exceptions.SSLError) and _UNVERIFIED in str(error).lower():
        named = any(words in str(error).lower() for words in _ANOTHER_NAME)
        return Lost.MISNAMED if named else Lost.UNTRUSTED
    if isinstance(_reason(error), NameResolutionError):
        return Lost.UNRESOLVED
    return next((lost for kind, lost in _LOSSES if isinstance(error, kind)), Lost.UNSENDABLE)


def _reason(error: Exception) -> object:
    """What urllib3 gave up for, inside of what requests made of it."""
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", inner)


def fault_of_loss(lost: Lost, where: str) -> AdapterError:
    """Built outside any except block: the library's own error quotes the whole URL."""
    if lost in _NOT_FHIR:
        return NotFhir(lost.value, where=where, remedy=_REMEDIES[lost])
    if lost in _BROKEN:
        return ServerBroken(lost.value, where=where, remedy=_REMEDIES[lost])
    return ServerUnreachable(lost.value, where=where, remedy=_REMEDIES[lost])
