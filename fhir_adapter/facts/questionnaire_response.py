"""QuestionnaireResponse to a study's questions -> answers given by people, one fact each.

Item linkId = question id; the Questionnaire's url names the study (criteria/fhir_form). Statuses:
completed and amended count, entered-in-error is ignored, the rest is not yet said (FHIR R4).
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_adapter.facts.context import (
    COUNTS,
    IGNORED,
    PENDING,
    Context,
    When,
    Worth,
    by_status,
    make,
    moment,
    source_of,
)
from fhir_adapter.fhir.reading import coding, parts, reference, text
from fhir_adapter.model.code import Code
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.vocabulary import BASE, NO, NOT_KNOWN, YES, question_code
from fhir_adapter.ports import Resource

STATUS: dict[str, Worth] = {
    "completed": COUNTS,
    "amended": COUNTS,
    "entered-in-error": IGNORED,
    "in-progress": PENDING,
    "stopped": PENDING,
}
_URL = f"{BASE}/Questionnaire/"
_ANSWERS = (YES, NO, NOT_KNOWN)


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """Nothing for questionnaires that are not ours; answers of no author are ignored."""
    study = study_of(text(resource.get("questionnaire")))
    if not study:
        return ()
    worth = by_status(STATUS, text(resource.get("status")))
    author = reference(resource.get("author"))
    issues = () if author else ("answer-without-author",)
    when = _when(context, resource)
    return tuple(
        make(
            resource,
            Kind.ANSWER,
            when,
            worth if author else IGNORED,
            patient,
            source=f"{source_of(resource)}#item[{number}]",
            concepts=(question_code(study, question),),
            value_concepts=(answer,),
            set_by="person",
            issues=issues,
        )
        for number, (question, answer) in enumerate(_answers(resource))
    )


def study_of(canonical: str) -> str:
    """The study id in the url of one of our Questionnaires; "" for any other."""
    url = canonical.split("|", 1)[0]
    return url.removeprefix(_URL) if url.startswith(_URL) else ""


def _answers(item: Resource) -> Iterator[tuple[str, Code]]:
    for child in parts(item.get("item")):
        for answer in parts(child.get("answer")):
            given = coding(answer.get("valueCoding"))
            if given and given[0] in _ANSWERS:
                yield text(child.get("linkId")), given[0]
        yield from _answers(child)


def _when(context: Context, resource: Resource) -> When:
    span, issue = context.dates.read(resource.get("authored"))
    if span is None:
        return When(source="authored", issues=(issue,) if issue else ())
    return moment(span, "authored", None, issue)
