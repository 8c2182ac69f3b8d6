"""First checks of a record server: what a study needs of it, and whether that is proved.

A server that does not know a parameter may answer as if nobody had data (measured on Medplum): so
nothing is called passed because it answered, only because a canary came back as it must.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from fhir_adapter.client import Capability, FhirClient, Found, escaped, status_of, why_not_of
from fhir_adapter.errors import AdapterError, OtherVersion, ServerFault, ServerUnreachable
from fhir_adapter.ports import Need
from fhir_adapter.pull.references import COMPANIONS, patients_of

_CANARY = "fhir-adapter-canary"
"""Without an underscore: HAPI drops unknown names that begin with one, whatever it is asked."""
_NOBODY = "fhir-adapter-canary-nobody"
_WRITTEN = ("ResearchSubject", "GuidanceResponse")


class Proof(Enum):
    """Whether something works: compare with ``is``."""

    PASSED = "passed"
    FAILED = "failed"
    UNPROVED = "unproved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: ``code`` says what was seen, ``remedy`` what to do about it."""

    check: str
    resource_type: str
    """Empty for the server as a whole."""
    ok: Proof
    code: str
    remedy: str = ""


class ServerDoctor:
    """Looks at one server; sends reads and searches only.

    ``is_over`` is asked after each check: a server that is slow at everything is left
    with what is known of it.
    """

    def __init__(self, client: FhirClient, *, is_over: Callable[[], bool] = lambda: False) -> None:
        self._client = client
        self._is_over = is_over

    def examine(self, needs: Sequence[Need], *, known_patient: str = "") -> tuple[Finding, ...]:
        """All findings; ends after the first one where the server does not answer at all.

        ``known_patient`` has data of every needed type, as far as anybody knows.
        """
        capability, first = self._reach()
        findings = [first]
        if first.code == "unreachable":
            return tuple(findings)
        findings.extend(self._types(needs, capability, known_patient))
        findings.extend(_nothing_there(findings))
        findings.extend(_versioning(name, capability) for name in _WRITTEN)
        findings.extend(_scope(name, findings) for name in scope_types(needs))
        return tuple(findings)

    def _reach(self) -> tuple[Capability | None, Finding]:
        try:
            capability = self._client.capability()
        except ServerUnreachable as fault:
            return None, _server(Proof.FAILED, "unreachable", fault.remedy)
        except ServerFault as fault:
            return None, _server(Proof.FAILED, _code(fault), fault.remedy)
        if not capability.fhir_version:
            return capability, _server(Proof.UNPROVED, "no-fhir-version", "Ask the vendor.")
        if not capability.types:
            return capability, _server(Proof.UNPROVED, "empty-capability", _EMPTY)
        return capability, _server(Proof.PASSED, "r4")

    def _types(
        self, needs: Sequence[Need], capability: Capability | None, known_patient: str
    ) -> Iterator[Finding]:
        for name in _types(needs):
            for finding in self._type(name, capability, known_patient):
                yield finding
                if self._is_over():
                    yield _server(Proof.FAILED, "out-of-time", _SLOW, check="time")
                    return

    def _type(
        self, name: str, capability: Capability | None, known_patient: str
    ) -> Iterator[Finding]:
        yield _offered(name, capability)
        yield self._nobody(name)
        if known_patient:
            yield from self._somebody(name, known_patient)
        yield self._unknown_parameter(name, known_patient or _NOBODY)
        if name in COMPANIONS:
            yield _include(name, capability)

    def _nobody(self, name: str) -> Finding:
        """A patient that does not exist has no data."""
        found = self._try(name, {"patient": _NOBODY})
        if isinstance(found, AdapterError):
            if status_of(found) in {400, 404} and why_not_of(found) == "not-supported":
                code = _ABSENT if status_of(found) == _GONE else "refused"
                return _finding("patient-nobody", name, Proof.UNPROVED, code, _REFUSED)
            return _failed("patient-nobody", name, found)
        if found.matches or "patient" in found.ignored:
            return _finding("patient-nobody", name, Proof.FAILED, "parameter-ignored", _NOT_USED)
        return _finding("patient-nobody", name, Proof.PASSED, "nothing-found")

    def _somebody(self, name: str, patient: str) -> Iterator[Finding]:
        """Data for a patient who has some, two pages of one resource each."""
        found = self._try(name, {"patient": escaped(patient), "_count": "1"})
        if isinstance(found, AdapterError):
            yield _failed("patient-known", name, found)
            return
        yield _known(name, found, patient)
        yield _total(name, found)
        if found.why_not in {"foreign-next-link", "next-link-loop", "page-expired"}:
            yield _finding("paging", name, Proof.FAILED, found.why_not, _LINKS)
        elif found.pages > 1:
            yield _finding("paging", name, Proof.PASSED, "followed")
        else:
            yield _finding("paging", name, Proof.UNPROVED, "one-page", "Name a fuller patient.")

    def _unknown_parameter(self, name: str, patient: str) -> Finding:
        """R4 search 3.1.1.1: refused under strict handling, else left out of ``self``."""
        found = self._try(name, {"patient": escaped(patient), _CANARY: "1", "_count": "1"})
        if isinstance(found, AdapterError):
            if status_of(found) == _GONE:
                return _finding("unknown-parameter", name, Proof.UNPROVED, _ABSENT, _REFUSED)
            if why_not_of(found) == "not-supported":
                return _finding("unknown-parameter", name, Proof.PASSED, "refused")
            return _failed("unknown-parameter", name, found)
        if _CANARY in found.ignored:
            return _finding("unknown-parameter", name, Proof.PASSED, "left-out-of-self")
        code = "kept-in-self" if found.self_stated else "no-self-link"
        return _finding("unknown-parameter", name, Proof.FAILED, code, _SILENT)

    def _try(self, name: str, params: dict[str, str]) -> Found | AdapterError:
        try:
            return self._client.search(name, params, max_pages=2)
        except ServerFault as fault:
            return fault


def _code(fault: ServerFault) -> str:
    return fault.code if isinstance(fault, OtherVersion) else why_not_of(fault)


_EMPTY = (
    "The CapabilityStatement lists no resource type: each search is tried, and only a known "
    "patient proves that it works."
)
_GONE = 404
_ABSENT = "type-not-found"
_WRONG_BASE = "Every search ended in 404: check that the address is the FHIR base and ends there."
_SLOW = "Give it more time with --seconds, or ask the vendor why each search takes so long."
_REFUSED = "Prove the parameter with a known patient."
_NOT_USED = "Do not use this server before its `patient` parameter works for this type."
_LINKS = "Set the server's public address so that its page links have the same origin."
_SILENT = "An unsupported search looks like a patient without data here: prove each by hand."
_CUT = "Without a total a page chain that breaks off cannot be noticed; compare counts by hand."


def _types(needs: Sequence[Need]) -> list[str]:
    names = dict.fromkeys(need.resource_type for need in needs)
    return [name for name in names if name != "Patient"]


def _finding(check: str, name: str, ok: Proof, code: str, remedy: str = "") -> Finding:
    return Finding(check=check, resource_type=name, ok=ok, code=code, remedy=remedy)


def _server(ok: Proof, code: str, remedy: str = "", *, check: str = "capability") -> Finding:
    return _finding(check, "", ok, code, remedy)


def _nothing_there(findings: Sequence[Finding]) -> Iterator[Finding]:
    """One type that is not there is a gap; none at all is another address."""
    asked = [f for f in findings if f.check == "patient-nobody"]
    if asked and all(f.code == _ABSENT for f in asked):
        yield _server(Proof.FAILED, "no-type-found", _WRONG_BASE, check="searches")


def _failed(check: str, name: str, fault: AdapterError) -> Finding:
    return _finding(check, name, Proof.FAILED, why_not_of(fault), fault.remedy)


def _offered(name: str, capability: Capability | None) -> Finding:
    offered = capability.of(name) if capability else None
    if capability is None or not capability.types:
        return _finding("offered", name, Proof.UNPROVED, "no-capability", "Prove it by searches.")
    if offered is None:
        return _finding("offered", name, Proof.FAILED, "type-not-listed", "Ask for this type.")
    missing = sorted({"read", "search-type"} - offered.interactions)
    if missing:
        return _finding("offered", name, Proof.FAILED, f"no-{missing[0]}", "Ask for it.")
    if "patient" not in offered.search_params:
        remedy = "Ask the vendor; the pull does not use a parameter that is left out of a list."
        return _finding("offered", name, Proof.FAILED, "patient-not-listed", remedy)
    return _finding("offered", name, Proof.PASSED, "listed")


def _known(name: str, found: Found, patient: str) -> Finding:
    owners = {owner for match in found.matches for owner in patients_of(match)}
    if owners - {patient}:
        return _finding("patient-known", name, Proof.FAILED, "foreign-patient", _NOT_USED)
    if not found.matches:
        remedy = "Name a patient who has data of this type."
        return _finding("patient-known", name, Proof.UNPROVED, "nothing-found", remedy)
    return _finding("patient-known", name, Proof.PASSED, "found")


def _total(name: str, found: Found) -> Finding:
    if found.total is None:
        return _finding("total", name, Proof.UNPROVED, "no-total", _CUT)
    return _finding("total", name, Proof.PASSED, "stated")


def _include(name: str, capability: Capability | None) -> Finding:
    offered = capability.of(name) if capability else None
    if offered is not None and offered.offers_include(COMPANIONS[name].include):
        return _finding("include", name, Proof.PASSED, "listed")
    remedy = "None needed: they are read one by one, which costs requests."
    return _finding("include", name, Proof.UNPROVED, "not-listed", remedy)


def _versioning(name: str, capability: Capability | None) -> Finding:
    offered = capability.of(name) if capability else None
    if offered is None:
        remedy = "Writing back falls to Task, List or the ledger alone."
        return _finding("versioning", name, Proof.UNPROVED, "type-not-listed", remedy)
    if offered.versioning == "versioned-update":
        return _finding("versioning", name, Proof.PASSED, "versioned-update")
    code = offered.versioning if offered.versioning in {"versioned", "no-version"} else "not-stated"
    return _finding("versioning", name, Proof.UNPROVED, code, "A write check must prove If-Match.")


def scope_types(needs: Sequence[Need]) -> tuple[str, ...]:
    """Every type that pulling these needs reads, companions included, sorted."""
    names = {"Patient", *(need.resource_type for need in needs)}
    return tuple(sorted(names | {COMPANIONS[n].resource_type for n in names if n in COMPANIONS}))


def scopes_of(needs: Sequence[Need], *, v1: bool = False) -> tuple[str, ...]:
    """Least SMART system scopes for reading: ``system/Type.rs``, or ``.read`` in version 1."""
    suffix = "read" if v1 else "rs"
    return tuple(f"system/{name}.{suffix}" for name in scope_types(needs))


def _scope(name: str, findings: Sequence[Finding]) -> Finding:
    """Judged by what the searches of this type met; companions are not asked for here."""
    own = [f for f in findings if f.resource_type == name and f.check.startswith("patient-")]
    refused = any(f.code in {"forbidden", "unauthorized"} for f in own)
    passed = any(f.ok is Proof.PASSED for f in own)
    ok = Proof.FAILED if refused else Proof.PASSED if passed else Proof.UNPROVED
    remedy = "" if passed else f"Grant system/{name}.rs (SMART v2) or system/{name}.read (v1)."
    return _finding("scope", name, ok, f"system/{name}.rs", remedy)
