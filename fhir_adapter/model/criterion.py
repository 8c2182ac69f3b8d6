"""The criteria algebra: a closed table of nodes (docs/criteria.md says what each one means).

Nodes are plain data: the tree that a YAML file, a Library resource or a SQL compiler sees is this
one. Durations, quantities and edges stay the text that the protocol's reader wrote; compiling
parses them. Unset fields are left out of every written form, so hashes survive new fields.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fhir_adapter.model.fact import Kind

DurationText = Annotated[str, Meta(pattern=r"^\d+ (hour|day|week|month|year)s?$")]
DurationOrNone = Annotated[str, Meta(pattern=r"^(none|\d+ (hour|day|week|month|year)s?)$")]
QuantityText = Annotated[str, Meta(pattern=r"^[+-]?\d+(\.\d+)?( \S.*)?$")]
NumberText = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?$")]
EdgeText = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9-]*(\.(start|end))?"
        r"( [+-] (\d+ (hour|day|week|month|year)s?|[a-z][a-z0-9-]*))?$"
    ),
]
SITE_SETTING_IN_EDGE = re.compile(r" (?P<sign>[+-]) (?P<name>[a-z][a-z0-9-]*)$")
"""An edge at a distance that the study leaves to the site: ``onset.start - baseline-from``."""
AbsencePolicy = Literal["unknown", "assume-absent", "assume-absent-if-known-here"]
ClinicalStatus = Literal["active", "inactive", "history", "not-stated"]

AS_OF, ADMISSION, VALUE = "as-of", "admission", "value"
"""Anchors that every study has: the moment asked about, the start of this admission, and, inside
a confounder, the deciding value."""


class _Part(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="kebab",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """How every part of a tree is written: kebab-case, nothing unknown, defaults left out."""


class Window(_Part, frozen=True, kw_only=True):
    """A span of time: which part of a fact must lie in it, and its two edges, both closed."""

    match: Literal["starts-in", "overlaps", "ends-in"] = "starts-in"
    from_: EdgeText | None = msgspec.field(default=None, name="from")
    to: EdgeText | None = None
    or_from: EdgeText | None = None
    """Takes the place of ``from`` when the anchor's start is open."""
    or_to: EdgeText | None = None
    """Takes the place of ``to`` when the anchor's start is open."""
    without_anchor: Literal["unknown", "empty"] = "unknown"
    """What a window means when the record shows that its named anchor never happened."""


class ValueTest(_Part, frozen=True, kw_only=True):
    """What a value must be; all given parts must hold.

    A bound may be printed in several units: the reported unit chooses among them, and any other
    convertible unit is held against the first.
    """

    at_least: tuple[QuantityText, ...] = ()
    more_than: tuple[QuantityText, ...] = ()
    at_most: tuple[QuantityText, ...] = ()
    less_than: tuple[QuantityText, ...] = ()
    coded_in: str | None = None
    above_upper_limit: NumberText | None = None
    """More than this many times the result's own upper limit of normal."""
    below_lower_limit: NumberText | None = None


class Events(_Part, frozen=True, kw_only=True):
    """A retrieve: the facts of some kinds, codes and window; then tests that each must pass."""

    kind: tuple[Kind, ...]
    codes: str | None = None
    """Name of a value set; None takes every code."""
    coded_as: str | None = None
    """Value set in which one of the codes must stand too: a test, so that silence and
    *code-not-mapped* are judged on ``codes`` alone."""
    window: Window | None = None
    """None: ever, up to as_of."""
    value: ValueTest | None = None
    clinical_status: tuple[ClinicalStatus, ...] = ()
    severity: str | None = None
    criticality: str | None = None
    stage: str | None = None
    same_day_as: Events | None = None
    """Only facts of a local date on which such an event also stands."""
    not_in_earlier: str | None = None
    """Name of an episode: facts of its earlier runs are not used."""
    also: Events | None = None
    """A second retrieve whose facts count as well; the tests of this one apply to them."""
    if_absent: AbsencePolicy | None = None
    """Overrides the criterion's policy for this retrieve: a side condition of the reading, whose
    answer is not printed as assumed."""


class _Node(_Part, frozen=True, kw_only=True, tag_field="node"):
    """Base of all nodes; ``node`` names the row of the closed table."""


class Any(_Node, frozen=True, kw_only=True, tag="any"):
    """TRUE when at least one event certainly is a member."""

    of: Events


class CountAtLeast(_Node, frozen=True, kw_only=True, tag="count-at-least"):
    """TRUE when at least n events certainly are members."""

    n: Annotated[int, Meta(ge=1)]
    of: Events


class _Selection(_Node, frozen=True, kw_only=True):
    of: Events
    test: ValueTest
    n: Annotated[int, Meta(ge=1)] = 1
    """The test must hold for each of the n selected (or for all there are, if fewer)."""
    fresh: DurationOrNone | None = None
    """Overrides the criterion's freshness limit."""


class Latest(_Selection, frozen=True, kw_only=True, tag="latest"):
    """The test on every fact that may be the latest."""


class Earliest(_Selection, frozen=True, kw_only=True, tag="earliest"):
    """The test on every fact that may be the earliest."""


class Lowest(_Selection, frozen=True, kw_only=True, tag="lowest"):
    """The test on every fact that may be the lowest."""


class Highest(_Selection, frozen=True, kw_only=True, tag="highest"):
    """The test on every fact that may be the highest."""


class _Change(_Node, frozen=True, kw_only=True):
    of: Events
    """The later value must be a member; the earlier one only has to lie within the time before."""
    by: QuantityText | None = None
    factor: NumberText | None = None
    within: DurationText


class Rise(_Change, frozen=True, kw_only=True, tag="rise"):
    """A later value at least ``by`` above, or ``factor`` times, an earlier one."""


class Fall(_Change, frozen=True, kw_only=True, tag="fall"):
    """A later value at least ``by`` below, or at most 1/``factor`` of, an earlier one."""


class Lasts(_Node, frozen=True, kw_only=True, tag="lasts"):
    """An event that runs for at least this long."""

    of: Events
    at_least: DurationText


class Paired(_Node, frozen=True, kw_only=True, tag="paired"):
    """One event of each kind, no further apart than ``within``."""

    first: Events
    second: Events
    within: DurationText


class Age(_Node, frozen=True, kw_only=True, tag="age"):
    """Completed years at as_of, by local dates; both bounds closed."""

    min: Annotated[int, Meta(ge=0, le=150)] | None = None
    max: Annotated[int, Meta(ge=0, le=150)] | None = None


class Sex(_Node, frozen=True, kw_only=True, tag="sex"):
    """Sex for clinical use, else birth sex, else gender; anything but male or female is unknown."""

    is_: Literal["female", "male"] = msgspec.field(name="is")


class Alive(_Node, frozen=True, kw_only=True, tag="alive"):
    """FALSE when the record states a death up to as_of, TRUE otherwise."""


class InEpisode(_Node, frozen=True, kw_only=True, tag="in-episode"):
    """Whether a named episode runs at as_of."""

    anchor: str


class AllOf(_Node, frozen=True, kw_only=True, tag="all-of"):
    """Kleene conjunction."""

    of: tuple[Node, ...]


class AnyOf(_Node, frozen=True, kw_only=True, tag="any-of"):
    """Kleene disjunction."""

    of: tuple[Node, ...]


class AtLeast(_Node, frozen=True, kw_only=True, tag="at-least"):
    """At least n of these."""

    n: Annotated[int, Meta(ge=1)]
    of: tuple[Node, ...]


class Not(_Node, frozen=True, kw_only=True, tag="not"):
    """Kleene negation."""

    of: Node


class Confounder(_Part, frozen=True, kw_only=True):
    """Facts under which a value must not decide by itself."""

    name: str
    by: Events
    doubts: Literal["both", "true", "false"] = "both"
    """Which answer of the test it puts in doubt."""


class UnlessConfounded(_Node, frozen=True, kw_only=True, tag="unless-confounded"):
    """The test's answer, unless a confounder stands beside one of its deciding values."""

    test: Node
    by: tuple[Confounder, ...]
    question: str | None = None
    """What to ask when a confounder stands beside the value."""


class ScoreInput(_Part, frozen=True, kw_only=True):
    """Which facts feed one item of a calculator; several sources are tried in order."""

    item: str
    of: tuple[Events, ...]


class Score(_Node, frozen=True, kw_only=True, tag="score"):
    """A calculator over the latest value of each item; missing items widen the interval."""

    calculator: str
    inputs: tuple[ScoreInput, ...]
    test: ValueTest
    spread: DurationText | None = None
    """Items older than this before the newest one are missing."""
    recorded: Events | None = None
    """A score somebody recorded: used where it is there, and always shown."""


class Ask(_Node, frozen=True, kw_only=True, tag="ask"):
    """A person's dated answer; without one, what data alone may say.

    ``yes-if`` and ``no-if`` are the only ways in which data decide; ``raised-by`` are data that
    turn silence into a question for a person, with the reason ``raised-as``.
    """

    question: str
    yes_if: Node | None = None
    no_if: Node | None = None
    raised_by: Node | None = None
    raised_as: Literal["needs-human", "unconfirmed"] = "needs-human"


class Unsupported(_Node, frozen=True, kw_only=True, tag="unsupported"):
    """Something that could not be understood: always unknown, always visible."""

    text: str
    why: str


Node = (
    Any
    | CountAtLeast
    | Latest
    | Earliest
    | Lowest
    | Highest
    | Rise
    | Fall
    | Lasts
    | Paired
    | Age
    | Sex
    | Alive
    | InEpisode
    | AllOf
    | AnyOf
    | AtLeast
    | Not
    | UnlessConfounded
    | Score
    | Ask
    | Unsupported
)
"""The closed table. A later node comes with truth, absence, evidence, closure, SQL and CQL."""


class Episode(_Part, frozen=True, kw_only=True, tag_field="anchor", tag="episode"):
    """A named anchor: the latest run of qualifying values, as an uncertain instant.

    It starts in the half-open interval from the last value below the bound to the first at it;
    without a value below in ``look-back`` the start is open. It ends only when values stay below
    for ``ends-after`` on at least ``ends-with`` results; silence ends nothing.
    """

    name: str
    of: Events
    bound: ValueTest
    ends_after: DurationText
    ends_with: int = 2
    look_back: DurationText


class EventAnchor(_Part, frozen=True, kw_only=True, tag_field="anchor", tag="event"):
    """A named anchor: the latest or earliest of some events."""

    name: str
    of: Events
    pick: Literal["latest", "earliest"] = "latest"


Anchor = Episode | EventAnchor
