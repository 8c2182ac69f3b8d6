"""Plain words for every code that people see; nothing from a record passes without ``plain``."""

from __future__ import annotations

import unicodedata

from fhir_adapter.model.decision import Outcome, Stop
from fhir_adapter.model.result import Effect
from fhir_adapter.model.truth import Reason

DISCLAIMER = (
    "A pre-screening aid, made from data: not for diagnosis or treatment, and no statement that "
    "anybody is eligible."
)
UNCONFIRMED = "reading not confirmed by the investigator"

OUTCOMES: dict[Outcome, str] = {
    Outcome.CANDIDATE: "candidate",
    Outcome.NEEDS_DATA: "needs data",
    Outcome.NOT_NOW: "not now",
    Outcome.NOT_ELIGIBLE: "not eligible",
    Outcome.NOT_PROPOSED: "not proposed",
    Outcome.NOT_SCREENED: "not screened",
}
"""Most useful first: the order of tables and tabs."""

STOPS: dict[Stop, str] = {
    Stop.DECEASED: "stopped: deceased",
    Stop.OPTED_OUT: "stopped: the patient opted out of research",
    Stop.NO_BASIS: "stopped: the site has no recorded basis for this study",
    Stop.RESTRICTED: "stopped: restricted record",
    Stop.TEST_RECORD: "stopped: test record",
    Stop.SUPERSEDED: "stopped: this record was replaced by another",
    Stop.ON_STUDY: "already on this study",
}

UNPROVED: dict[Stop, str] = {
    Stop.DECEASED: "whether the patient has died was not retrieved",
    Stop.OPTED_OUT: "whether the patient opted out is not known",
    Stop.ON_STUDY: "whether the patient is on this study is not known",
}

REASONS: dict[Reason, str] = {
    Reason.NOT_RETRIEVED: "the data were not retrieved whole",
    Reason.UNSUPPORTED: "this rule could not be understood",
    Reason.CODE_NOT_MAPPED: "this site's codes for it are not mapped",
    Reason.UNIT_NOT_CONVERTIBLE: "the unit of the result is not known",
    Reason.RECORDED_UNUSABLE: "a record exists that cannot be used",
    Reason.UNCONFIRMED: "recorded as provisional or suspected",
    Reason.PENDING: "a result is under way",
    Reason.DATE_MISSING_OR_TOO_COARSE: "a date is missing or too coarse",
    Reason.CONFLICT: "records contradict each other",
    Reason.CONFOUNDED: "something else may explain the value",
    Reason.STALE: "the newest value or answer is too old",
    Reason.OUTSIDE: "a newer outside document exists",
    Reason.NEVER_RECORDED: "nothing is recorded here",
    Reason.NEEDS_HUMAN: "a person must judge",
}

SETTLED: dict[str, str] = {
    "record": "read the record",
    "outside-document": "read the outside document",
    "result-under-way": "wait for the result",
    "bedside": "ask the treating team",
    "consent-visit": "at the consent visit",
    "after-consent": "after consent only",
    "investigator": "for the investigator",
}

WHO: dict[str, str] = {
    "coordinator": "coordinator",
    "treating-team": "treating team",
    "investigator": "investigator",
    "patient": "patient",
}

EFFECT_MARKS: dict[Effect, str] = {
    Effect.FITS: "fits",
    Effect.AGAINST: "against",
    Effect.OPEN: "open",
    Effect.NOT_APPLICABLE: "does not apply",
}

_LONGEST = 200


def plain(text: str, *, longest: int = _LONGEST) -> str:
    """A text from a record as one harmless line, cut off where it is longer than ``longest``.

    No control, format or bidirectional characters, no line breaks.
    """
    if text.isascii() and text.isprintable():  # nearly all are, and nothing in them is hidden
        line = " ".join(text.split())
        return line if len(line) <= longest else line[: longest - 1] + "\u2026"
    kept = (" " if c.isspace() else c for c in text if c.isspace() or _is_shown(c))
    line = " ".join("".join(kept).split())
    return line if len(line) <= longest else line[: longest - 1] + "\u2026"


def _is_shown(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
