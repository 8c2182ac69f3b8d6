"""SMART scopes in the words of the version that a server speaks: ``.rs`` of v2, ``.read`` of v1."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fhir_adapter.fhir.wire import as_array

DEFAULT_SCOPE = "system/*.rs"
_V2 = re.compile(r"^(system/[A-Za-z*]+)\.(c?r?u?d?s?)$")
_READING, _WRITING = frozenset("rs"), frozenset("cud")


def scope_for(scope: str, said: Mapping[str, object]) -> str:
    """The scope to ask for; v1 only where discovery says that v2 is absent.

    It is absent where ``capabilities`` names permission-v1 and not permission-v2, or where
    ``scopes_supported`` names scopes of v1 and none of v2.

    >>> scope_for("system/Patient.rs", {"capabilities": ["permission-v1"]})
    'system/Patient.read'
    """
    wanted = scope or DEFAULT_SCOPE
    if not _lacks_v2(said):
        return wanted
    return " ".join(dict.fromkeys(v1 for one in wanted.split() for v1 in _v1(one)))


def _lacks_v2(said: Mapping[str, object]) -> bool:
    capabilities = frozenset(map(str, as_array(said.get("capabilities"))))
    if "permission-v2" in capabilities:
        return False
    if "permission-v1" in capabilities:
        return True
    scopes = [one for one in map(str, as_array(said.get("scopes_supported"))) if "/" in one]
    old = any(one.endswith((".read", ".write", ".*")) for one in scopes)
    return old and not any(_V2.match(re.sub(r"^(patient|user)/", "system/", one)) for one in scopes)


def _v1(scope: str) -> list[str]:
    found = _V2.match(scope)
    if found is None:
        return [scope]
    letters = set(found.group(2))
    read = [f"{found.group(1)}.read"] if letters & _READING else []
    write = [f"{found.group(1)}.write"] if letters & _WRITING else []
    return read + write
