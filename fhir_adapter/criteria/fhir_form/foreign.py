"""A PlanDefinition that others wrote: each action becomes a criterion that is not understood.

Nothing is dropped and nothing is guessed: every such criterion is unknown for every patient, must
be read by a person before contact, and shows the text that was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhir_adapter.criteria.fhir_form.systems import filled
from fhir_adapter.fhir.reading import codings, part, parts, text
from fhir_adapter.model.criterion import Unsupported
from fhir_adapter.model.study import (
    STUDY_FORMAT,
    Criterion,
    Identity,
    Question,
    Sentence,
    Study,
)
from fhir_adapter.ports import Resource

_KINDS = ("inclusion", "exclusion")
_NO_TEXT = "(an action without any text)"


def foreign_study(plan: Resource, studies: Sequence[Resource]) -> Study:
    """A study of one unsupported criterion per action, nested ones included, in document order."""
    actions = tuple(_flat(plan.get("action", ())))
    ids = _ids(actions)
    texts = [_text(action) for action in actions]
    rows = list(zip(ids, texts, actions, strict=True))
    return Study(
        format=STUDY_FORMAT,
        id=str(plan.get("id") or plan.get("name") or "study"),
        version=str(plan.get("version", "0")),
        identity=_identity(plan, studies[0] if studies else {}),
        protocol=tuple(Sentence(id=f"S{n}", text=t) for n, t in enumerate(texts, start=1)),
        questions=tuple(
            Question(id=name, text=f"Does this hold? {text}", who="coordinator")
            for name, text, _ in rows
        ),
        criteria=tuple(_criterion(n, *row) for n, row in enumerate(rows, start=1)),
    )


def _flat(actions: Sequence[Resource]) -> Iterator[Resource]:
    for action in actions:
        yield action
        yield from _flat(action.get("action", ()))


def _ids(actions: Sequence[Resource]) -> list[str]:
    """Number as written, else the id, else A1, A2, ...; a second one of a name gets its place."""
    found: list[str] = []
    for place, action in enumerate(actions, start=1):
        name = str(action.get("prefix") or action.get("id") or f"A{place}")
        found.append(name if name not in found else f"{name}-A{place}")
    return found


def _text(action: Resource) -> str:
    texts = (action.get(name) for name in ("textEquivalent", "description", "title"))
    return next((str(text) for text in texts if text), _NO_TEXT)


def _criterion(place: int, name: str, text: str, action: Resource) -> Criterion:
    kinds = _written_kinds(action)
    kind = kinds[0] if len(kinds) == 1 else "inclusion"
    return Criterion(
        id=name,
        kind="exclusion" if kind == "exclusion" else "inclusion",
        title=str(action.get("title") or name),
        sentence=f"S{place}",
        span=text,
        decidability="H",
        gate="none",
        lasts="person-only",
        if_absent="unknown",
        fresh="none",
        settled="record",
        outside_documents="ignore",
        question=name,
        test=Unsupported(text=text, why=_why(action, kinds)),
    )


def _written_kinds(action: Resource) -> list[str]:
    """Inclusion or exclusion as any code system says it, each once."""
    concepts = parts(action.get("code"))
    codes = [code.code for concept in concepts for code in codings(concept)]
    words = [word.lower() for word in (*codes, *(text(item.get("text")) for item in concepts))]
    return [kind for kind in _KINDS if kind in words]


def _why(action: Resource, kinds: list[str]) -> str:
    conditions = parts(action.get("condition"))
    languages = [text(part(c.get("expression")).get("language")) or "none" for c in conditions]
    said = (
        f"its condition is written in {', '.join(languages)}, which is not read here"
        if languages
        else "it states no condition that could be judged"
    )
    return said if len(kinds) == 1 else f"{said}; inclusion is assumed: no single kind is coded"


def _identity(plan: Resource, study: Resource) -> Identity:
    """What there is of an identity; a study whose blinding is not known is taken as blinded."""
    identifiers = [*parts(study.get("identifier")), *parts(plan.get("identifier")), {}]
    title = study.get("title") or plan.get("title") or plan.get("name") or ""
    period = filled(study.get("period", {}))
    conditions = parts(study.get("condition"))
    return Identity(
        registry=str(identifiers[0].get("system", "")),
        number=str(identifiers[0].get("value", "")),
        title=str(title),
        condition="",
        condition_text=str(conditions[0].get("text", "")) if conditions else "",
        lead=str(study.get("sponsor", {}).get("display", "")),
        start=str(period.get("start", "")),
        end=str(period.get("end", "")),
        description=str(study.get("description") or plan.get("description") or ""),
        blinded=True,
    )
