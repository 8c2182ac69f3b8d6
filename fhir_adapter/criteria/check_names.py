"""Names: every value set, question, anchor, calculator and criterion that is named must exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from fhir_adapter.criteria.finding import Checked, Finding
from fhir_adapter.criteria.locate import nearest
from fhir_adapter.criteria.walk import anchors_of, coded_sets, parts, reach, used_names
from fhir_adapter.model.criterion import ADMISSION, AS_OF, VALUE, Episode, Events, InEpisode, Score
from fhir_adapter.model.study import Criterion
from fhir_adapter.model.truth import Reason

RESERVED = frozenset((AS_OF, ADMISSION, VALUE))
REASON_CODES = frozenset(reason.code for reason in Reason)


def name_findings(seen: Checked) -> Iterator[Finding]:
    """Missing, doubled and unused names."""
    yield from _doubled(seen)
    for where, part in seen.places():
        yield from _missing(seen, where, part)
    yield from _missing_condition(seen)
    yield from _missing_coded_sets(seen)
    yield from _exceptions(seen)
    yield from _pairs(seen)
    yield from _scores(seen)
    yield from _unused(seen)


def _doubled(seen: Checked) -> Iterator[Finding]:
    study = seen.study
    lists: tuple[tuple[str, Iterable[str]], ...] = (
        ("criterion", (item.id for item in study.criteria)),
        ("question", (item.id for item in study.questions)),
        ("anchor", (*sorted(RESERVED), *(item.name for item in study.anchors))),
        ("pointer", (item.id for item in study.pointers)),
        ("pair", (item.id for item in study.pairs)),
        ("sentence", (item.id for item in study.protocol)),
        ("value set", (item.name for item in seen.code_sets)),
        ("calculator", (item.name for item in seen.calculators)),
    )
    for what, names in lists:
        for name, count in Counter(names).items():
            if count > 1:
                message = f"the {what} {name} exists {count} times"
                yield seen.error("id-duplicate", name, message, "Give each a name of its own.")


def _missing(seen: Checked, where: str, part: object) -> Iterator[Finding]:
    names, study = used_names(part), seen.study
    known_anchors = {anchor.name for anchor in study.anchors} | RESERVED
    lists: tuple[tuple[str, str, frozenset[str], set[str] | frozenset[str]], ...] = (
        ("value-set", "value set", names.value_sets, {c.name for c in seen.code_sets}),
        ("question", "question", names.questions, {q.id for q in study.questions}),
        ("anchor", "anchor", names.anchors, known_anchors),
        ("calculator", "calculator", names.calculators, {c.name for c in seen.calculators}),
    )
    for code, what, used, known in lists:
        for name in sorted(used - known):
            remedy = nearest(name, tuple(sorted(known)))
            yield seen.error(f"{code}-unknown", where, f"there is no {what} {name}", remedy)
    yield from _not_episodes(seen, where, part)


def _not_episodes(seen: Checked, where: str, part: object) -> Iterator[Finding]:
    """in-episode and not-in-earlier need an anchor that has runs."""
    known = anchors_of(seen.study)
    episodes = {name for name, anchor in known.items() if isinstance(anchor, Episode)}
    for name in sorted(_episode_names(part) - episodes):
        if name in known or name in RESERVED:
            message = f"{name} is an anchor without runs"
            yield seen.error("anchor-not-an-episode", where, message, "Name an episode.")


def _episode_names(part: object) -> set[str]:
    nodes = tuple(parts(part))
    named = {node.anchor for node in nodes if isinstance(node, InEpisode)}
    return named | {n.not_in_earlier for n in nodes if isinstance(n, Events) and n.not_in_earlier}


def _missing_condition(seen: Checked) -> Iterator[Finding]:
    name, known = seen.study.identity.condition, {item.name for item in seen.code_sets}
    if name and name not in known:
        remedy = nearest(name, tuple(sorted(known)))
        yield seen.error("value-set-unknown", "identity", f"there is no value set {name}", remedy)


def _missing_coded_sets(seen: Checked) -> Iterator[Finding]:
    known = {item.name for item in seen.code_sets}
    used = used_names(seen.study).calculators
    for calculator in seen.calculators:
        if calculator.name in used:
            for name in sorted(coded_sets(calculator) - known):
                where = f"calculator {calculator.name}"
                remedy = nearest(name, tuple(sorted(known)))
                message = f"there is no value set {name}"
                yield seen.error("value-set-unknown", where, message, remedy)


def _exceptions(seen: Checked) -> Iterator[Finding]:
    known = REASON_CODES | {question.id for question in seen.study.questions}
    for criterion in seen.study.criteria:
        for code, names in _exception_names(criterion):
            for name in names:
                if name not in known:
                    message = f"{name} is neither a reason nor a question"
                    remedy = nearest(name, tuple(sorted(known)))
                    yield seen.error(code, criterion.id, message, remedy)


def _exception_names(criterion: Criterion) -> Iterator[tuple[str, Iterable[str]]]:
    yield "settled-when-unknown", criterion.settled_when
    if criterion.gate != "none":
        yield "gate-exception-unknown", criterion.gate.list_when


def _pairs(seen: Checked) -> Iterator[Finding]:
    known = {criterion.id for criterion in seen.study.criteria}
    for pair in seen.study.pairs:
        named = dict.fromkeys((*pair.criteria, *pair.needs_open, *pair.reopens_assumed))
        for name in named:
            if name not in known:
                message = f"there is no criterion {name}"
                remedy = nearest(name, tuple(sorted(known)))
                yield seen.error("criterion-unknown", f"pair {pair.id}", message, remedy)


def _scores(seen: Checked) -> Iterator[Finding]:
    items = {c.name: {item.name for item in c.items} for c in seen.calculators}
    for where, part in seen.places():
        for score in (node for node in parts(part) if isinstance(node, Score)):
            if score.calculator in items:
                yield from _score_items(seen, where, score, items[score.calculator])


def _score_items(seen: Checked, where: str, score: Score, known: set[str]) -> Iterator[Finding]:
    fed = {item.item for item in score.inputs}
    for name in sorted(fed - known):
        message = f"{score.calculator} has no item {name}"
        remedy = nearest(name, tuple(sorted(known)))
        yield seen.error("calculator-item-unknown", where, message, remedy)
    for name in sorted(known - fed):
        message = f"nothing feeds the item {name} of {score.calculator}"
        remedy = "Add an input, or accept that the item is always missing."
        yield seen.warning("calculator-item-unfed", where, message, remedy)


def _unused(seen: Checked) -> Iterator[Finding]:
    study = seen.study
    if not study.pointers:
        yield seen.warning(
            "no-pointers",
            "",
            "nothing points at a patient: who needs data is counted, and never listed",
            "Name what makes somebody look (a diagnosis, an order): pointers in study.yaml.",
        )
    used = reach(study, study.anchors, seen.calculators)
    excepted = {name for c in study.criteria for _, names in _exception_names(c) for name in names}
    for question in study.questions:
        if question.id not in used.questions | excepted:
            message = f"nothing asks the question {question.id}"
            yield seen.warning(
                "question-unused", "", message, "Name it in a criterion, or drop it."
            )
    for code_set in seen.code_sets:
        if code_set.name not in used.value_sets | {study.identity.condition}:
            message = f"nothing uses the value set {code_set.name}"
            yield seen.warning(
                "value-set-unused", "", message, "Name it in a criterion, or drop it."
            )
