"""How one server is reached: certificates, proxy, and the gate in front of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

import requests
from requests.adapters import HTTPAdapter

from fhir_adapter.client.gate import Gate

_POOL = 10


class _Options(TypedDict, total=False):
    verify: str
    proxies: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Of one connection. Without ``proxy`` the environment's HTTPS_PROXY and NO_PROXY count.

    The client's certificate is shown to the server itself only, never to another origin.
    """

    ca_file: str | None = None
    client_cert: str | tuple[str, str] | None = None
    proxy: str = field(default="", repr=False)
    """May hold credentials."""
    gate: Gate = field(default_factory=Gate, repr=False)

    def session(self) -> requests.Session:
        """As many kept connections as the gate lets through."""
        found = requests.Session()
        adapter = HTTPAdapter(pool_maxsize=max(self.gate.concurrency, _POOL))
        found.mount("https://", adapter)
        found.mount("http://", adapter)
        return found

    def options(self) -> _Options:
        """Given with each request: what a session holds gives way to the environment."""
        options = _Options()
        if self.ca_file is not None:
            options["verify"] = self.ca_file
        if self.proxy:
            options["proxies"] = {"http": self.proxy, "https": self.proxy}
        return options
