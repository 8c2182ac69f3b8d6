"""A FHIR server that demands a token: a proxy in front of any, which asks the authorization server.

It says where that one is (`.well-known/smart-configuration`), answers 401 to whoever has no token
that is good there (RFC 7662), and 403 to a token whose scope does not hold the resource type.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import requests

import real_servers
from fault_proxy import Fault, FaultProxy, Forward, Reply, Request

_WELL_KNOWN = "/.well-known/smart-configuration"
_JSON = {"Content-Type": "application/json"}


@contextmanager
def guarded(base: str, issuer: str) -> Iterator[FaultProxy]:
    """The server at ``base``, for those with a token of ``issuer``."""
    with FaultProxy(base) as proxy, requests.Session() as session:
        session.trust_env = False
        proxy.arm(_guard(issuer, session))
        yield proxy


def _guard(issuer: str, session: requests.Session) -> Fault:
    def fault(one: Request, forward: Forward) -> Reply:
        if one.path == _WELL_KNOWN:
            said = session.get(f"{issuer}{_WELL_KNOWN}", timeout=30)
            return Reply(200, said.content, _JSON)
        scopes = scopes_of(session, issuer, one.header("Authorization"))
        if scopes is None:
            return Reply(401, b"", {"WWW-Authenticate": "Bearer"})
        return forward(one) if _holds(scopes, one.path) else Reply(403)

    return fault


def scopes_of(session: requests.Session, issuer: str, authorization: str) -> frozenset[str] | None:
    """What a token may do; None where it is none, or not good any more."""
    scheme, _, token = authorization.partition(" ")
    if scheme != "Bearer":
        return None
    asked = session.post(
        f"{issuer}/token/introspection",
        data={"token": token},
        auth=real_servers.OIDC_SERVER,
        timeout=30,
    )
    found = json.loads(asked.content)
    return frozenset(found.get("scope", "").split()) if found["active"] else None


def _holds(scopes: frozenset[str], path: str) -> bool:
    """Of reading; everybody may ask what a server is."""
    kind = path.split("/")[1]
    return kind == "metadata" or bool(
        scopes & {"system/*.rs", "system/*.read", f"system/{kind}.rs"}
    )
