"""How to write to this server, chosen from what it says that it can do, with the reason.

Where ResearchSubject is refused a Task stands for it, else a DocumentReference; where the server
takes neither, the ledger alone holds the proposals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from fhir_adapter.client import Capability, TypeCapability
from fhir_adapter.model.server import ServerProfile, Verdict, WriteWay

_WRITTEN_BESIDE = ("Device", "GuidanceResponse", "Provenance")
_OURS_ALONE = frozenset(("Device", "GuidanceResponse"))
_NEEDED = frozenset(("create", "read", "search-type"))


class Strategy(Enum):
    """How a proposal reaches the server."""

    CONDITIONAL_CREATE = "conditional-create"
    SEARCH_THEN_CREATE = "search-then-create"
    STAND_IN = "stand-in"
    LEDGER_ONLY = "ledger-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A strategy, why it was chosen, and what else the server allows."""

    strategy: Strategy
    reason: str
    """One sentence for the doctor's report."""
    if_match: bool = True
    history: bool = True
    """Whether the versions of all that a type ever held can be asked for."""
    left_out: frozenset[str] = frozenset()
    """Types beside ResearchSubject that the server does not take."""
    stand_in: str = ""
    """Task or DocumentReference: what may stand for a ResearchSubject; empty: nothing."""
    conditional_stand_in: bool = True
    """Whether it may be created on the condition that there is none."""

    subjects: bool = True
    """Whether a ResearchSubject that a person made can be searched for, though ours is refused."""

    conditional_update: bool = False
    """Whether PUT on an identifier was seen to work: for what is ours alone, never for what people
    change (docs/decisions/0008-conditional-update.md)."""

    def __str__(self) -> str:
        return f"{self.strategy.value}: {self.reason}"

    @property
    def conditional(self) -> bool:
        """Whether a create is made on the condition that there is none."""
        if self.strategy is Strategy.STAND_IN:
            return self.conditional_stand_in
        return self.strategy is Strategy.CONDITIONAL_CREATE

    @property
    def ways(self) -> tuple[WriteWay, ...]:
        """As they are taken, each where the one before is refused; NOTHING is left to the end.

        >>> [way.value for way in choose(None).ways]
        ['conditional-create', 'task', 'nothing']
        """
        found = (_CREATES.get(self.strategy), _STAND_IN_WAYS.get(self.stand_in))
        beside = self.strategy is not Strategy.LEDGER_ONLY
        return (*(way for way in found if way is not None and beside), WriteWay.NOTHING)

    def puts_on_identifier(self, resource_type: str) -> bool:
        """Whether it is created by conditional update, for want of a conditional create."""
        return self.conditional_update and not self.conditional and resource_type in _OURS_ALONE


_CREATES = {
    Strategy.CONDITIONAL_CREATE: WriteWay.CONDITIONAL_CREATE,
    Strategy.SEARCH_THEN_CREATE: WriteWay.SEARCH_THEN_CREATE,
}
_STAND_IN_WAYS = {"Task": WriteWay.TASK, "DocumentReference": WriteWay.DOCUMENT_REFERENCE}


def choose(capability: Capability | None, profile: ServerProfile | None = None) -> Choice:
    """The strategy for a server; None or an empty statement: everything is tried and read back.

    What the doctor proved (``profile``, of a run that wrote) stands above what the server says.

    >>> str(choose(None))
    'conditional-create: the server does not say what it can do; every write is read back'
    """
    said = _said(capability, profile or ServerProfile())
    return said if profile is None else _proved(said, profile)


def _proved(said: Choice, profile: ServerProfile) -> Choice:
    if profile.fails("kept.ResearchSubject"):
        return _not_kept(said, profile)
    strategy = next((one for one, way in _CREATES.items() if way is profile.subject_way), None)
    refused = {name for name in _WRITTEN_BESIDE if profile.fails(f"kept.{name}")}
    return replace(
        said,
        strategy=strategy or said.strategy,
        reason="the doctor saw that it works" if strategy else said.reason,
        if_match=said.if_match
        and not (profile.fails("write.if-match") or profile.fails("write.versions")),
        left_out=frozenset(_WRITTEN_BESIDE) if "Device" in refused else said.left_out | refused,
        conditional_update=profile.works("write.conditional-update"),
        history=_seen_history(said, profile),
    )


def _seen_history(said: Choice, profile: ServerProfile) -> bool:
    """As it was seen; what could not be told leaves what the server says."""
    match profile.verdict("kept.type-history"):
        case Verdict.WORKS:
            return True
        case Verdict.FAILS:
            return False
        case Verdict.CANNOT_TELL:
            return said.history


def _not_kept(said: Choice, profile: ServerProfile) -> Choice:
    seen = "the doctor saw that the server does not keep ResearchSubject as sent"
    if not said.stand_in or profile.fails(f"kept.{said.stand_in}"):
        return Choice(strategy=Strategy.LEDGER_ONLY, reason=seen)
    reason = f"{seen}: a {said.stand_in} stands for it"
    return replace(said, strategy=Strategy.STAND_IN, reason=reason)


def _said(capability: Capability | None, seen: ServerProfile) -> Choice:
    if capability is None or not capability.types:
        return Choice(
            strategy=Strategy.CONDITIONAL_CREATE,
            reason="the server does not say what it can do; every write is read back",
            stand_in="Task",
        )
    subject = capability.of("ResearchSubject")
    if subject is None or not _takes(subject):
        return replace(_without_subject(capability, seen), subjects=_shows(subject))
    strategy, reason = _way(subject)
    other = _stand_in(capability, seen)
    return Choice(
        strategy=strategy,
        reason=reason,
        if_match=subject.versioning != "no-version",
        history=_tells(subject),
        left_out=_left_out(capability),
        stand_in=other[0] if other else "",
        conditional_stand_in=other is not None and other[1].conditional_create,
    )


def _without_subject(capability: Capability, seen: ServerProfile) -> Choice:
    refused = "the server does not create, read and search ResearchSubject"
    other = _stand_in(capability, seen)
    if other is None:
        return Choice(strategy=Strategy.LEDGER_ONLY, reason=refused)
    name, said = other
    return Choice(
        strategy=Strategy.STAND_IN,
        reason=f"{refused}: a {name} stands for it",
        if_match=said.versioning != "no-version",
        history=_tells(said),
        left_out=_left_out(capability),
        stand_in=name,
        conditional_stand_in=said.conditional_create,
    )


def _stand_in(capability: Capability, seen: ServerProfile) -> tuple[str, TypeCapability] | None:
    """The first type that may stand for it, and was not seen to be lost; both name our Device."""
    if "Device" in _left_out(capability):
        return None
    kept = (name for name in _STAND_IN_WAYS if not seen.fails(f"kept.{name}"))
    found = ((name, capability.of(name)) for name in kept)
    return next(((name, said) for name, said in found if said and _takes(said)), None)


def _way(subject: TypeCapability) -> tuple[Strategy, str]:
    if subject.conditional_create:
        return Strategy.CONDITIONAL_CREATE, "the server offers conditional create"
    return Strategy.SEARCH_THEN_CREATE, "the server does not offer conditional create"


def _tells(found: TypeCapability) -> bool:
    """A type that is listed without interactions is asked."""
    return not found.interactions or "history-type" in found.interactions


def _takes(found: TypeCapability) -> bool:
    """A type that is listed without interactions is taken at its word when tried."""
    return not found.interactions or found.interactions >= _NEEDED


def _shows(found: TypeCapability | None) -> bool:
    return found is not None and (not found.interactions or "search-type" in found.interactions)


def _left_out(capability: Capability) -> frozenset[str]:
    """GuidanceResponse and Provenance name the Device: without it neither can be written."""
    found = {name: capability.of(name) for name in _WRITTEN_BESIDE}
    refused = frozenset(name for name, said in found.items() if said is None or not _takes(said))
    return frozenset(_WRITTEN_BESIDE) if "Device" in refused else refused
