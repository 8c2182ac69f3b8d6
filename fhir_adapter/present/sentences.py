"""One line about a decision, and the next question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhir_adapter.model.decision import Check, Decision, Outcome
from fhir_adapter.model.study import BEFORE_CONTACT
from fhir_adapter.ports import NotWhole
from fhir_adapter.present.rows import iso
from fhir_adapter.present.words import OUTCOMES, SETTLED, STOPS, UNPROVED, WHO

_NOT_READ = "file-not-read"
_MISLABELLED = "mislabelled-file"
_LOSES = frozenset(
    ("unreadable-file", "unreadable-line", "no-type", "entry-without-resource", _NOT_READ)
)
_OTHER_FORM = (
    " A file-not-read has another form than NDJSON or JSON, plain or gz: unpack it, rename it, or "
    "move it away if it holds no records."
)
_OTHER_TYPE = (
    " A mislabelled-file holds nothing of the type that it is named after: that type is open for "
    "everybody; export it again, or name the file after what it holds."
)
_NOBODYS = (
    " Resources with no-patient name none by a reference that can be read (Patient/id): whom they "
    "are about cannot be known, and their types are open for everybody."
)
_EXPORT = "export-"
_HARMLESS = "export-informational"
_NOTED = frozenset((_HARMLESS, "duplicate", "subject-no-patient"))
"""Nothing is lost by these."""
_WITHHELD = (
    " What the server says it could not export is open for everybody, and patients may be missing."
)
_PLACES_SHOWN = 3


def damage_sentence(
    issues: Mapping[str, int], places: Sequence[str], *, in_tables: bool = False
) -> str:
    """What is wrong with files of records, where, and what that means; empty where nothing is.

    ``in_tables``: they are in fact tables, which only a whole load mends.
    """
    if not issues:
        return ""
    counts = ", ".join(f"{code} {count}" for code, count in sorted(issues.items()))
    more = f" and {len(places) - _PLACES_SHOWN} more" if len(places) > _PLACES_SHOWN else ""
    where = f" ({', '.join(places[:_PLACES_SHOWN])}{more})" if places else ""
    lost = (
        " What could not be read is open for everybody it may be about, and patients may be "
        "missing: mend these files, or export them again"
        f"{', and load all of them, without --update' if in_tables else ''}."
    )
    order = (
        " Numbers count all files of the folder in sorted order."
        if any(map(_is_number, places))
        else ""
    )
    lost = lost if _LOSES & set(issues) else ""
    lost += _OTHER_FORM if _NOT_READ in issues else ""
    lost += _OTHER_TYPE if _MISLABELLED in issues else ""
    nobody = _NOBODYS if "no-patient" in issues else ""
    withheld = _WITHHELD if any(map(_is_withheld, issues)) else ""
    told = "Noted in the files" if set(issues) <= _NOTED else "The files are not whole"
    return f"{told}: {counts}{where}.{order}{lost}{withheld}{nobody}"


def not_whole_sentence(found: Sequence[NotWhole], *, of: int) -> str:
    """Which types a server did not give whole, why, for how many, and what to do about it."""
    if not found:
        return ""
    said = ", ".join(
        f"{one.resource_type} ({one.why_not}) for "
        f"{'everybody' if one.patients == of else f'{one.patients} of {of}'}"
        for one in found
    )
    remedies = " ".join(dict.fromkeys(not_whole_remedy(one) for one in found))
    return (
        f"Not retrieved whole: {said}. What a criterion needs of these is open, not absent. "
        f"{remedies}"
    )


def duplicates_sentence(count: int) -> str:
    """How many ResearchSubjects stand twice, and what mends them; nothing of whose they are."""
    if not count:
        return ""
    found = "ResearchSubject stands" if count == 1 else "ResearchSubjects stand"
    return (
        f"{count} duplicate {found} beside what is proposed. Run `fhir-adapter ledger repair`: it "
        "names them, and with --write closes all but the one that counts."
    )


_WITH_MEDICATION = frozenset(
    ("MedicationRequest", "MedicationStatement", "MedicationAdministration", "MedicationDispense")
)
"""Not whole either where the Medication that they refer to is refused."""


def not_whole_remedy(one: NotWhole) -> str:
    """What to do about one type."""
    if one.why_not in ("forbidden", "unauthorized"):
        name = one.resource_type
        too = " The same for Medication, to which it refers." if name in _WITH_MEDICATION else ""
        return f"Have system/{name}.rs (SMART v2) or system/{name}.read (v1) granted.{too}"
    if one.why_not == "by-category":
        return (
            f"The server wants a category in searches for {one.resource_type}; what has none was "
            "not seen. Where everything has one, say so: the setting record_categories."
        )
    if one.why_not == "parameter-emptied":
        return (
            f"The server answers a search for {one.resource_type} by patient as if nobody had any: "
            "have that mended, its operator can repeat it with a patient who has some."
        )
    return "`fhir-adapter server doctor` says what the server can do."


def incomplete_sentence(incomplete: Mapping[str, int], patients: int) -> str:
    """Which kinds of facts were not retrieved whole, and for how many; empty where all were."""
    if not incomplete or not patients:
        return ""
    said = ", ".join(
        f"{kind} for {'everybody' if count == patients else f'{count} of {patients}'}"
        for kind, count in incomplete.items()
    )
    return (
        f"Not retrieved whole: {said}. What a criterion needs of these is open, not absent "
        "(`cohort report` counts it); an export with a file of every type has it whole."
    )


def _is_withheld(code: str) -> bool:
    return code.startswith(_EXPORT) and code != _HARMLESS


def _is_number(place: str) -> bool:
    return place.startswith("file ")


def decision_sentence(decision: Decision) -> str:
    """Outcome first, then what it hangs on."""
    text = OUTCOMES[decision.outcome].capitalize()
    parts = [part for part in (_because(decision), *_marks(decision)) if part]
    return f"{text}: {'; '.join(parts)}" if parts else text


def _because(decision: Decision) -> str:
    match decision.outcome:
        case Outcome.NOT_SCREENED:
            return ", ".join(STOPS[stop] for stop in decision.stops)
        case Outcome.NOT_ELIGIBLE:
            return f"against: {', '.join(_named(decision, 'against'))}"
        case Outcome.NOT_PROPOSED:
            return f"gate: {', '.join(_shut_gates(decision))}"
        case Outcome.NEEDS_DATA:
            return _counted(checks_before_contact(decision))
        case Outcome.CANDIDATE:
            return _left_for_people(len(decision.checks))
        case Outcome.NOT_NOW:  # exhaustive
            return _returns(decision)


def _returns(decision: Decision) -> str:
    if decision.until is not None:
        return f"until {iso(decision.until)}"
    return f"watching {', '.join(decision.watching)}"


def _left_for_people(checks: int) -> str:
    if checks == 0:
        return "nothing left to ask"
    return "1 question left for people" if checks == 1 else f"{checks} questions left for people"


def _counted(checks: int) -> str:
    return "1 check before contact" if checks == 1 else f"{checks} checks before contact"


def checks_before_contact(decision: Decision) -> int:
    """How many questions must be answered before anybody speaks to the patient."""
    return sum(1 for check in decision.checks if check.settled in BEFORE_CONTACT)


def _named(decision: Decision, effect: str) -> list[str]:
    return [result.criterion for result in decision.results if result.effect.value == effect]


def _shut_gates(decision: Decision) -> list[str]:
    return [
        f"{result.criterion} {result.effect.value}"
        for result in decision.results
        if result.gate and result.effect.value in ("against", "open")
    ]


def _marks(decision: Decision) -> tuple[str, ...]:
    return (
        *(f"{UNPROVED[stop]}: no proposal" for stop in decision.unproved),
        "labs only" if decision.labs_only else "",
        "withheld: the patient declined" if decision.withheld else "",
        "re-screen? a person decides" if decision.rescreen else "",
    )


def check_sentence(check: Check) -> str:
    """Whom to ask, what, and for which criteria."""
    return f"{WHO[check.who]}: {check.text} ({', '.join(check.criteria)}; {SETTLED[check.settled]})"
