"""What is known of a FHIR server because it was tried: findings, and the choices that follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from fhir_adapter.errors import SettingInvalid


class Verdict(Enum):
    """What one check came to: compare with ``is``."""

    WORKS = "works"
    FAILS = "fails"
    CANNOT_TELL = "cannot-tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check of one server; no text here holds an id, a value or what the server wrote."""

    id: str
    """``group.name``, or ``search.Type.parameter``."""
    title: str
    verdict: Verdict
    reason: str
    """What was seen."""
    consequence: str = ""
    """What it means for the adapter; empty where the check works."""
    remedy: str = ""
    needed: bool = False
    """Whether the adapter cannot do its work where this fails."""

    @property
    def group(self) -> str:
        """The part of the id before the first dot."""
        return self.id.partition(".")[0]


class WriteWay(Enum):
    """How a proposal can reach a server, the best first: what writing back does, and no other."""

    CONDITIONAL_CREATE = "conditional-create"
    SEARCH_THEN_CREATE = "search-then-create"
    TASK = "task"
    DOCUMENT_REFERENCE = "document-reference"
    NOTHING = "nothing"
    """The ledger alone holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProfile:
    """The findings of one server by id; what was not tried is CANNOT_TELL.

    >>> ServerProfile.of([]).verdict("paging.next")
    <Verdict.CANNOT_TELL: 'cannot-tell'>
    """

    verdicts: Mapping[str, Verdict] = field(default_factory=dict[str, Verdict])
    largest_page: int = 0
    """Most resources seen on one page where more were asked for; 0: no bound was seen."""
    software: str = ""
    """Name and version as the server stated them; empty where it did not."""

    @classmethod
    def of(
        cls, findings: Iterable[Finding], *, largest_page: int = 0, software: str = ""
    ) -> ServerProfile:
        """From the findings of one run."""
        found = {finding.id: finding.verdict for finding in findings}
        return cls(verdicts=found, largest_page=largest_page, software=software)

    def refuse_other(self, software: str, *, where: str) -> None:
        """SettingInvalid where the server is another one by now; empty: it does not say."""
        if software and software != self.software:
            raise SettingInvalid(
                "the server profile is of another software, or of another version of it",
                where=where,
                remedy="Run `fhir-adapter server doctor --write --profile FILE` again.",
            )

    def verdict(self, check: str) -> Verdict:
        """Of one check."""
        return self.verdicts.get(check, Verdict.CANNOT_TELL)

    def works(self, *checks: str) -> bool:
        """Whether every one of these was seen to work."""
        return all(self.verdict(check) is Verdict.WORKS for check in checks)

    def fails(self, check: str) -> bool:
        """Whether it was seen to fail."""
        return self.verdict(check) is Verdict.FAILS

    def is_open(self, check: str) -> bool:
        """Whether it was not tried, or could not be told."""
        return self.verdict(check) is Verdict.CANNOT_TELL

    @property
    def subject_way(self) -> WriteWay | None:
        """The best way in which a ResearchSubject was seen to be created; None: in none."""
        return next((way for way, needs in _WAYS if self.works(*needs)), None)

    @property
    def posts_searches(self) -> bool:
        """Whether searches can keep patients' ids out of addresses."""
        return self.works("query.post")

    @property
    def batches_searches(self) -> bool | None:
        """Whether searches may go in batches; None where it was not seen."""
        if self.fails("bundle.search") or self.fails("bundle.reads"):
            return False
        return True if self.works("bundle.search") else None

    def unused_parameters(self, resource_type: str) -> frozenset[str]:
        """Search parameters that were seen to fail: what depends on one is not retrieved."""
        start = f"search.{resource_type}."
        failed = (name for name in self.verdicts if name.startswith(start) and self.fails(name))
        return frozenset(name.removeprefix(start) for name in failed)


_SUBJECT = ("kept.ResearchSubject", "search.ResearchSubject.identifier")
_WAYS: tuple[tuple[WriteWay, tuple[str, ...]], ...] = (
    (WriteWay.CONDITIONAL_CREATE, (*_SUBJECT, "write.conditional-create")),
    (WriteWay.SEARCH_THEN_CREATE, _SUBJECT),
)
