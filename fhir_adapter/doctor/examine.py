"""One examination: every check once, whatever the others came to; then everything is taken away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from fhir_adapter.client import FhirClient, software_of, why_not_of
from fhir_adapter.doctor.check import Check, Seen, unsure
from fhir_adapter.doctor.earlier import Earlier, clear
from fhir_adapter.doctor.exam import Exam
from fhir_adapter.doctor.own import Own
from fhir_adapter.doctor.probe import OutOfBounds, Probe
from fhir_adapter.doctor.specimens import kinds_of, write_specimens
from fhir_adapter.doctor.table import BEFORE_WRITING, CHECKS, IN_TURN
from fhir_adapter.errors import AdapterError, PatientNotFound
from fhir_adapter.model.server import Finding, ServerProfile, Verdict

_LOST_IN_A_ROW = 3
_NO_TIME = "not tried: no time or no request was left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one examination came to."""

    software: str
    """Name and version as the server states them; empty where it does not."""
    findings: tuple[Finding, ...]
    requests: int
    left_behind: tuple[str, ...]
    """``Type/id`` of resources of ours that could not be removed."""
    token: str
    """In the identifiers of everything that this run wrote."""
    largest_page: int = 0
    not_asked: str = ""
    """Why nothing was asked but whether this is a FHIR server; empty where it is one."""
    earlier: Earlier = field(default_factory=Earlier)
    """Test resources that earlier runs had left."""

    @property
    def out_of_time(self) -> int:
        """How many checks were not tried for want of time or requests."""
        return sum(one.reason == _NO_TIME for one in self.findings)

    @property
    def profile(self) -> ServerProfile:
        """What the adapter's choices are made from."""
        return ServerProfile.of(
            self.findings, largest_page=self.largest_page, software=self.software
        )

    @property
    def has_needed_failure(self) -> bool:
        """Whether something fails that the adapter cannot do without."""
        return any(one.needed and one.verdict is Verdict.FAILS for one in self.findings)


def examine(  # noqa: PLR0913 - one keyword per bound
    client: FhirClient,
    *,
    token: str,
    write: bool,
    patient: str = "",
    seconds: float = 120.0,
    most_requests: int = 1500,
    told: Callable[[tuple[str, ...]], None] = lambda _: None,
    now: datetime | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Every check; without ``write`` those that write cannot tell.

    What was written is taken away at the end, also after an error or Ctrl-C; ``told`` hears what
    could not be removed, whatever happened. What earlier runs left is taken away
    first, where it is said what time it is. PatientNotFound where the named patient is not there.
    """
    probe = Probe(
        client=client, until=clock() + seconds, most=most_requests, clock=clock, sleep=sleep
    )
    own = Own(probe=probe, token=token)
    exam = Exam(probe=probe, own=own, write=write, patient=patient)
    left: tuple[str, ...] = ()
    try:
        findings = tuple(_findings(exam, now))
    finally:
        left = own.remove_all()
        if left:
            told(left)
    return Report(
        software=_software(exam),
        findings=findings,
        requests=probe.sent,
        left_behind=left,
        token=token,
        largest_page=exam.largest_page,
        not_asked=exam.not_asked,
        earlier=exam.earlier,
    )


def _findings(exam: Exam, now: datetime | None) -> Iterator[Finding]:
    """As the table tells them, whatever the order in which they were tried."""
    found = {finding.id: finding for finding in _tried(exam, now)}
    yield from (found[check.id] for check in CHECKS)


def _tried(exam: Exam, now: datetime | None) -> Iterator[Finding]:
    for check in IN_TURN:
        if check is BEFORE_WRITING[-1]:
            _refuse_unknown(exam)
        finding = check.finding(_seen(exam, check))
        exam.verdicts[finding.id] = finding.verdict
        yield finding
        if check is BEFORE_WRITING[-1] and exam.may_write:
            # once something of ours was seen to go away, and before there is more of it
            if now is not None:
                exam.earlier = clear(exam.probe, exam.own, kinds_of(exam), now)
            _write_specimens(exam)


def _refuse_unknown(exam: Exam) -> None:
    """PatientNotFound: with somebody who is not there nothing could be told, and all looks fine."""
    if not exam.patient or exam.not_asked:
        return
    try:
        found = exam.probe.get(f"Patient/{exam.patient}")
    except (AdapterError, OutOfBounds):
        return
    if found.is_gone:
        raise PatientNotFound(
            f"the server does not know the named patient ({found.status})",
            where="--patient",
            remedy="Name the logical id of a Patient that is on it and may be read, or leave it "
            "out.",
        )


def _write_specimens(exam: Exam) -> None:
    try:
        write_specimens(exam)
    except (AdapterError, OutOfBounds):
        return


def _seen(exam: Exam, check: Check) -> Seen:
    """What a check came to, whatever happened."""
    if exam.probe.lost >= _LOST_IN_A_ROW:
        return unsure("the server no longer answers")
    if exam.not_asked:
        return unsure(exam.not_asked)
    if check.writes and not exam.write:
        return unsure("not tried without --write")
    if check.writes and not exam.may_write and check is not BEFORE_WRITING[-1]:
        return unsure(exam.unwritten)
    try:
        return check.look(exam)
    except OutOfBounds:
        return unsure(_NO_TIME)
    except AdapterError as fault:
        return unsure(why_not_of(fault))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as fault:
        return unsure(f"the answer could not be read ({type(fault).__name__})")


def _software(exam: Exam) -> str:
    found = exam.memory.get("metadata")
    return software_of(found.body) if found else ""
