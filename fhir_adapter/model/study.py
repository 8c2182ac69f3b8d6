"""A study: its identity, protocol sentences, criteria and what is to be known before they run."""

from __future__ import annotations

from typing import Literal

import msgspec

from fhir_adapter.model.criterion import (
    AbsencePolicy,
    Anchor,
    DurationOrNone,
    DurationText,
    EdgeText,
    Events,
    Node,
)

STUDY_FORMAT = 1
"""Version of the YAML and JSON form; another number is refused by name."""

Settled = Literal[
    "record",
    "outside-document",
    "result-under-way",
    "bedside",
    "consent-visit",
    "after-consent",
    "investigator",
]
SETTLED_ORDER: tuple[Settled, ...] = (
    "record",
    "outside-document",
    "result-under-way",
    "bedside",
    "consent-visit",
    "after-consent",
    "investigator",
)
"""Where an open criterion is settled, cheapest first (design section 4)."""

BEFORE_CONTACT: frozenset[str] = frozenset(SETTLED_ORDER[:4])
"""What must be known before a patient is approached."""


class _Part(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="kebab",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """How every part of a study is written."""


class SignOff(_Part, frozen=True, kw_only=True):
    """An investigator's signature under one reading; void when the criterion's hash changes."""

    name: str
    role: str
    date: str
    hash: str


class Gate(_Part, frozen=True, kw_only=True):
    """A criterion that must not be against; what happens while it is open."""

    if_open: Literal["hold", "list"]
    list_when: tuple[str, ...] = ()
    """Reasons or question ids for which an open gate lists in place of holding."""


class Criterion(_Part, frozen=True, kw_only=True):
    """One numbered rule of the protocol with everything that decides what its answer does."""

    id: str
    kind: Literal["inclusion", "exclusion"]
    title: str
    sentence: str
    """Number of the sentence in protocol.md."""
    span: str
    """The exact words of that sentence which this criterion reads."""
    decidability: Literal["D", "V", "F", "H", "D/F", "V/F", "F/H"]
    gate: Gate | Literal["none"]
    lasts: Literal["lasting", "lasting-in-this-episode", "passing", "person-only"]
    passing_if: Node | None = None
    """When this is TRUE an answer against is passing, whatever ``lasts`` says."""
    if_absent: AbsencePolicy
    fresh: DurationOrNone
    """Age beyond which a latest value or an answer is stale."""
    settled: Settled
    settled_when: dict[str, Settled] = {}
    """Other places, by reason code or by question id."""
    cost: int = 0
    outside_documents: Literal["reopen", "ignore"]
    """Whether a newer outside document takes the place of "never recorded"."""
    question: str
    """The question (id in the study's list) that settles it when nothing more exact is asked."""
    watch: str = ""
    """What to watch while it is against and passing."""
    deadline: EdgeText | None = None
    """Last local date on which what it waits for can still happen; printed while it is open, and
    never decides. Whole days, from an anchor of the study."""
    applies_if: Node | None = None
    test: Node
    beside: tuple[Events, ...] = ()
    """Facts shown beside the answer; they never decide."""
    readings: tuple[str, ...] = ()
    """Readings of this project that no clinician has confirmed."""
    sign_off: SignOff | None = None


class Question(_Part, frozen=True, kw_only=True):
    """Something a person is asked; never an order."""

    id: str
    text: str
    who: Literal["coordinator", "treating-team", "investigator", "patient"]
    valid_for: DurationOrNone = "none"


class Pointer(_Part, frozen=True, kw_only=True):
    """Facts that never decide: they raise the rank, and one is needed for a card."""

    id: str
    title: str
    test: Node


class Pair(_Part, frozen=True, kw_only=True):
    """Criteria that are asked together when this holds."""

    id: str
    criteria: tuple[str, ...]
    when: Node
    needs_open: tuple[str, ...] = ()
    """Criteria of which at least one must be open or against."""
    reopens_assumed: tuple[str, ...] = ()
    note: str
    question: str


class Sentence(_Part, frozen=True, kw_only=True):
    """One numbered sentence of the protocol, as the registry prints it."""

    id: str
    text: str


class Arm(_Part, frozen=True, kw_only=True):
    """An arm as the protocol describes it; never attached to a patient by this software."""

    name: str
    type: Literal["experimental", "placebo-comparator"]
    description: str


class Identity(_Part, frozen=True, kw_only=True):
    """What ResearchStudy says about the study."""

    registry: str
    """Identifier system of the registry."""
    number: str
    title: str
    phase: str = ""
    condition: str
    """Value set of the condition under study."""
    condition_text: str
    lead: str
    collaborators: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    start: str = ""
    end: str = ""
    keywords: tuple[str, ...] = ()
    description: str = ""
    blinded: bool
    arms: tuple[Arm, ...] = ()


class SiteSetting(_Part, frozen=True, kw_only=True):
    """A length of time that the study leaves to the site.

    ``text`` is printed on the rows that rest on it, with the length in place of ``{value}``.
    """

    name: str
    default: DurationText
    text: str


class Study(_Part, frozen=True, kw_only=True):
    """A whole study: one definition for every lane, page, hash and FHIR resource."""

    format: int
    id: str
    version: str
    identity: Identity
    protocol: tuple[Sentence, ...]
    anchors: tuple[Anchor, ...] = ()
    questions: tuple[Question, ...]
    pointers: tuple[Pointer, ...] = ()
    pairs: tuple[Pair, ...] = ()
    site_settings: tuple[SiteSetting, ...] = ()
    writes_potential_candidate: bool = False
    criteria: tuple[Criterion, ...]
