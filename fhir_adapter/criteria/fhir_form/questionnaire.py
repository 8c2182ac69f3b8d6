"""The questions that criteria ask people, as one Questionnaire; linkId = question id."""

from __future__ import annotations

from fhir_adapter.criteria.fhir_form.publication import Publication
from fhir_adapter.criteria.fhir_form.systems import (
    VALID_FOR,
    WHO,
    code_extension,
    filled,
    text_extension,
)
from fhir_adapter.criteria.walk import parts
from fhir_adapter.model.criterion import Ask
from fhir_adapter.model.study import Question, Study
from fhir_adapter.model.vocabulary import NO, NOT_KNOWN, YES, question_code
from fhir_adapter.ports import Resource

_OPTIONS = ((YES, "Yes"), (NO, "No"), (NOT_KNOWN, "Not known"))


def questionnaire(made: Publication) -> Resource:
    """One item per question that an ``ask`` node reads: yes, no, not known; and a comment."""
    study = made.study
    asked = asked_questions(study)
    return filled(
        {
            "resourceType": "Questionnaire",
            "id": f"{made.id}-questions",
            "url": made.questionnaire_url,
            **made.head,
            "name": f"{made.name}Questions",
            "title": f"Questions of {study.identity.title}",
            "subjectType": ["Patient"],
            "item": [
                _item(question, study) for question in study.questions if question.id in asked
            ],
        }
    )


def asked_questions(study: Study) -> frozenset[str]:
    """Questions whose answers criteria read."""
    return frozenset(part.question for part in parts(study) if isinstance(part, Ask))


def _item(question: Question, study: Study) -> Resource:
    code = question_code(study.id, question.id)
    return {
        "extension": [
            code_extension(WHO, question.who),
            text_extension(VALID_FOR, question.valid_for),
        ],
        "linkId": question.id,
        "code": [{"system": code.system, "code": code.code}],
        "text": question.text,
        "type": "choice",
        "answerOption": [
            {"valueCoding": {"system": option.system, "code": option.code, "display": display}}
            for option, display in _OPTIONS
        ],
        "item": [{"linkId": f"{question.id}.comment", "text": "Comment", "type": "text"}],
    }
