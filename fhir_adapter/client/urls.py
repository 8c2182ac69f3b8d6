"""Addresses: what the base URL may be, which origin a link has, how a search is spelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

from fhir_adapter.errors import SettingInvalid

Params = Mapping[str, str | tuple[str, ...]]
"""Search parameters; a tuple repeats the parameter (AND)."""
Origin = tuple[str, str, int]

_DEFAULT_PORTS = {"http": 80, "https": 443}


def base_of(url: str) -> str:
    """The service base without a slash at its end; SettingInvalid where it cannot be one.

    >>> base_of("https://example.org/fhir/")
    'https://example.org/fhir'
    """
    if origin_of(url) is None:
        raise SettingInvalid("the FHIR base URL is not an http or https address", remedy=_REMEDY)
    parts = urlsplit(url)
    if "?" in url or "#" in url:
        raise SettingInvalid("the FHIR base URL holds a query or a fragment", remedy=_NO_QUERY)
    if parts.username is not None or parts.password is not None:
        raise SettingInvalid("the FHIR base URL holds credentials", remedy=_REMEDY)
    return url.rstrip("/")


_NO_QUERY = (
    "Leave out ? or # and what follows; what a gateway wants with every request goes into the "
    "setting headers."
)
_REMEDY = "Give it as https://host[:port]/path, and credentials by their own settings."


def origin_of(url: str) -> Origin | None:
    """Scheme, host and port (RFC 6454, section 4); None where the address has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port


def resolved(link: str, *, base: str, asked: str) -> str:
    """A link of a Bundle made absolute.

    ``?x`` belongs to the address asked, ``/x`` to the host, ``Type?x`` to the service base.
    """
    if link.startswith("?"):
        return asked.partition("?")[0] + link
    return urljoin(f"{base}/", link)


def same_origin(url: str, base: str) -> bool:
    """Whether credentials for ``base`` may be sent to ``url``."""
    found = origin_of(url)
    return found is not None and found == origin_of(base)


def is_followed(url: str, base: str) -> bool:
    """Whether a file may be fetched there: any origin, but nothing in clear that was encrypted.

    >>> is_followed("http://files.example/1", "https://ehr.example/fhir")
    False
    """
    found, home = origin_of(url), origin_of(base)
    return found is not None and home is not None and (found[0] == "https" or home[0] == "http")


def pairs(params: Params) -> list[tuple[str, str]]:
    """Name and value of each parameter in the order given."""
    return [(name, text) for name, value in params.items() for text in _each(value)]


def _each(value: str | tuple[str, ...]) -> Iterable[str]:
    return (value,) if isinstance(value, str) else value


def query(params: Params) -> str:
    """The parameters, percent-encoded."""
    return urlencode(pairs(params), quote_via=quote, safe=":|,/")


def escaped(value: str) -> str:
    r"""A value in which ``\ , | $`` stand for themselves (R4 search, 3.1.1.3).

    >>> escaped("a,b")
    'a\\,b'
    """
    for sign in "\\,|$":
        value = value.replace(sign, f"\\{sign}")
    return value


def segment(text: str) -> str | None:
    """An id as one path segment; None where it cannot be one."""
    return None if text in {"", ".", ".."} else quote(text, safe="")


def names_in(url: str) -> frozenset[str]:
    """Names of the search parameters in an address, without their modifiers."""
    found = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    return frozenset(plain(name) for name, _ in found)


def plain(name: str) -> str:
    """A parameter name without modifier or chain.

    >>> plain("code:in")
    'code'
    """
    return name.partition(":")[0]
