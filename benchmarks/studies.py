"""N plausible studies from a seed, over the value sets in mappings/: about 15 criteria each.

Every study has an age gate and the gate of its disease; then bounds on laboratory values, other
diseases, drugs and procedures that keep a patient out, questions for people, and now and then a
rule that hangs on several things at once. Bounds and spans are the round numbers that protocols
print, so that studies share many criteria, as real ones do. Diseases are drawn by rank: a few
common ones, many rare ones. Study i of a seed is the same whatever N is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, Literal

from fhir_adapter.model import criterion as tree
from fhir_adapter.model.criterion import Events, Node, ValueTest, Window
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.study import Criterion, Gate, Identity, Question, Sentence, Study

_Kinds = tuple[Kind, ...]
_CONDITION, _LAB = (Kind.CONDITION,), (Kind.OBSERVATION,)
_DISEASES = (
    "cirrhosis", "infection", "chronic-liver-disease", "other-malignancy", "acute-kidney-injury",
    "major-depression", "liver-cancer", "venous-thrombosis-or-embolism", "portal-hypertension",
    "psychosis", "liver-failure", "hepatic-encephalopathy", "drug-abuse", "variceal-bleeding",
    "gallbladder-stone", "chronic-dialysis", "acute-liver-injury", "viral-hepatitis-b-or-c",
    "bile-duct-obstruction", "haemolysis", "alcohol-withdrawal", "severe-extrahepatic-disease",
    "hepatic-coma", "hepatorenal-syndrome", "severe-allergy", "malignancy-uncertain", "pregnancy",
    "breastfeeding", "liver-transplant-status", "stem-cell-status",
)  # fmt: skip
_DRUGS = (
    "systemic-corticosteroid", "immunosuppressant", "antibacterial", "vitamin-k-antagonist",
    "factor-xa-inhibitor", "immunoglobulin", "immune-enhancer", "vitamin-k",
)  # fmt: skip
_PROCEDURES = (
    "liver-transplantation", "renal-replacement", "stem-cell-therapy", "platelet-transfusion",
)  # fmt: skip
_LABS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # unit, bounds from below, bounds from above
    "platelets": ("10*9/L", ("30", "50", "75", "80", "90", "100", "120", "150"), ("450", "600")),
    "creatinine": ("mg/dL", (), ("1.2", "1.3", "1.5", "1.8", "2", "2.5", "3")),
    "total-bilirubin": ("mg/dL", ("5", "10", "12"), ("1", "1.2", "1.5", "2", "3", "5", "10")),
    "inr": ("1", ("1.5", "2"), ("1.2", "1.3", "1.5", "1.7", "2", "2.5")),
    "albumin": ("g/dL", ("2", "2.5", "2.8", "3", "3.5"), ()),
    "alt": ("U/L", ("40", "80"), ("80", "100", "120", "200", "250", "400")),
    "ast": ("U/L", ("40", "80"), ("80", "100", "120", "200", "250", "400")),
    "sodium": ("mmol/L", ("120", "125", "130", "135"), ("145", "150")),
    "crp": ("mg/L", ("5", "10"), ("10", "20", "50", "100")),
    "afp": ("ng/mL", ("20", "200", "400"), ("20", "100", "400")),
    "lactate": ("mmol/L", ("2",), ("2", "4", "5")),
    "procalcitonin": ("ng/mL", ("0.5",), ("0.5", "2")),
    "ammonia": ("umol/L", ("50",), ("100", "150")),
    "prothrombin-activity": ("%", ("20", "40", "50", "70"), ("40", "50")),
}
_SPANS = ("24 hours", "48 hours", "72 hours", "7 days", "14 days", "28 days", "30 days", "3 months")
_PASTS = (None, "28 days", "3 months", "6 months", "12 months", "5 years")
_QUESTIONS = ("consent", "compliance", "life-expectancy", "other-reasons", "contraception")
_BOUT = tree.Episode(
    name="bout",
    of=Events(kind=_LAB, codes="total-bilirubin"),
    bound=ValueTest(at_least=("5 mg/dL",)),
    ends_after="28 days",
    look_back="90 days",
)
_Made = tuple[Node, dict[str, Any]]


def studies(n: int, *, seed: int = 1) -> Iterator[Study]:
    """``n`` studies with 12 to 18 criteria each."""
    for number in range(n):
        yield study(number, seed=seed)


def study(number: int, *, seed: int = 1) -> Study:
    """Study ``number`` of a seed."""
    dice = Random(f"{seed}:{number}")  # noqa: S311 - nothing secret
    disease = _ranked(dice, _DISEASES)
    made = [_age(dice), _disease(dice, disease)]
    made += [_criterion(dice, disease) for _ in range(dice.randint(10, 16))]
    criteria = tuple(
        _numbered(place, node, fields) for place, (node, fields) in enumerate(made, start=1)
    )
    return Study(
        format=1,
        id=f"GEN{seed}-{number:06d}",
        version="1",
        identity=Identity(
            registry="urn:generated", number=f"{seed}-{number}", title="A generated study",
            condition=disease, condition_text=disease, lead="nobody", blinded=False,
        ),
        protocol=(Sentence(id="S1", text="generated"),),
        anchors=(_BOUT,),
        questions=tuple(Question(id=name, text=name, who="investigator") for name in _QUESTIONS),
        criteria=criteria,
    )  # fmt: skip


def _numbered(place: int, test: Node, fields: dict[str, Any]) -> Criterion:
    usual: dict[str, Any] = {
        "kind": "exclusion", "gate": "none", "lasts": "lasting", "if_absent": "unknown",
        "fresh": "none", "settled": "record", "outside_documents": "ignore",
    }  # fmt: skip
    return Criterion(
        id=f"C{place}", title=f"Criterion {place}", sentence="S1", span="generated",
        decidability="D", question="other-reasons", test=test, **(usual | fields),
    )  # fmt: skip


def _ranked(dice: Random, names: Sequence[str]) -> str:
    weights = [1 / (place + 5) for place in range(len(names))]
    return dice.choices(names, weights=weights)[0]


def _age(dice: Random) -> _Made:
    least = dice.choices((18, 16, 20, 40, 50, 65), weights=(70, 3, 5, 8, 7, 7))[0]
    most = dice.choices((None, 65, 70, 75, 80, 85), weights=(30, 15, 15, 20, 15, 5))[0]
    most = None if most is not None and most <= least else most
    gate = Gate(if_open="hold")
    return tree.Age(min=least, max=most), {"kind": "inclusion", "gate": gate}


def _disease(dice: Random, name: str) -> _Made:
    """The disease under study: a gate; nobody is proposed of whom it is not recorded."""
    past = dice.choice((None, None, None, "12 months", "5 years"))
    policy = dice.choice(("unknown", "assume-absent-if-known-here"))
    test = tree.Any(of=Events(kind=_CONDITION, codes=name, window=_since(past)))
    return test, {"kind": "inclusion", "gate": Gate(if_open="hold"), "if_absent": policy}


def _since(past: str | None) -> Window | None:
    return None if past is None else Window(from_=f"as-of - {past}", to="as-of")


def _criterion(dice: Random, disease: str) -> _Made:
    makers: tuple[Callable[[Random, str], _Made], ...] = (
        _lab, _other_disease, _drug, _procedure, _question, _combined, _confounded, _in_bout,
        _women,
    )  # fmt: skip
    return dice.choices(makers, weights=(40, 22, 10, 6, 8, 6, 3, 2, 3))[0](dice, disease)


def _bound(dice: Random) -> tuple[str, ValueTest]:
    name = _ranked(dice, tuple(_LABS))
    unit, below, above = _LABS[name]
    side = dice.choice([side for side, some in (("min", below), ("max", above)) if some])
    text = f"{dice.choice(below if side == 'min' else above)} {unit}".removesuffix(" 1")
    return name, ValueTest(at_least=(text,)) if side == "min" else ValueTest(at_most=(text,))


def _latest(dice: Random) -> tree.Latest:
    name, test = _bound(dice)
    span = dice.choices(_SPANS, weights=(1, 1, 2, 6, 6, 6, 3, 2))[0]
    return tree.Latest(of=Events(kind=_LAB, codes=name, window=_since(span)), test=test)


def _lab(dice: Random, _disease: str) -> _Made:
    fresh = dice.choices(("none", "7 days", "14 days"), weights=(8, 1, 1))[0]
    more = {"kind": "inclusion", "lasts": "passing", "fresh": fresh}
    outside = dice.choices(("ignore", "reopen"), weights=(4, 1))[0]
    return _latest(dice), more | {"outside_documents": outside}


def _policy(dice: Random) -> dict[str, str]:
    policies = ("unknown", "assume-absent", "assume-absent-if-known-here")
    return {"if_absent": dice.choices(policies, weights=(2, 3, 5))[0]}


def _other_disease(dice: Random, disease: str) -> _Made:
    name = _ranked(dice, [one for one in _DISEASES if one != disease])
    status: Any = ("active",) if dice.random() < 0.3 else ()  # noqa: PLR2004 - a share
    window = _since(dice.choice(_PASTS))
    of = Events(kind=_CONDITION, codes=name, window=window, clinical_status=status)
    return tree.Any(of=of), _policy(dice)


def _drug(dice: Random, _disease: str) -> _Made:
    window = Window(match="overlaps", from_=f"as-of - {dice.choice(_SPANS)}")
    of = Events(kind=(Kind.MEDICATION,), codes=_ranked(dice, _DRUGS), window=window)
    return tree.Any(of=of), _policy(dice) | {"lasts": "passing"}


def _procedure(dice: Random, _disease: str) -> _Made:
    window = _since(dice.choice(_PASTS))
    of = Events(kind=(Kind.PROCEDURE,), codes=_ranked(dice, _PROCEDURES), window=window)
    return tree.Any(of=of), _policy(dice)


def _question(dice: Random, _disease: str) -> _Made:
    places: tuple[Literal["consent-visit", "investigator", "bedside"], ...] = (
        "consent-visit", "investigator", "bedside",
    )  # fmt: skip
    return tree.Ask(question=dice.choice(_QUESTIONS)), {"settled": dice.choice(places)}


def _combined(dice: Random, disease: str) -> _Made:
    """A disease, or a value that speaks for it."""
    other, _ = _other_disease(dice, disease)
    return tree.AnyOf(of=(other, _latest(dice))), _policy(dice)


def _confounded(dice: Random, _disease: str) -> _Made:
    test = ValueTest(at_most=(dice.choice(_LABS["inr"][2]),))
    of = Events(kind=_LAB, codes="inr", window=_since(dice.choice(_SPANS)))
    drug = Events(
        kind=(Kind.MEDICATION,),
        codes="vitamin-k-antagonist",
        window=Window(match="overlaps", from_="value - 7 days", to="value"),
    )
    by = (tree.Confounder(name="anticoagulation", by=drug),)
    node = tree.UnlessConfounded(test=tree.Latest(of=of, test=test), by=by)
    return node, {"kind": "inclusion", "lasts": "passing"}


def _in_bout(dice: Random, _disease: str) -> _Made:
    span = dice.choice(("7 days", "14 days", "28 days"))
    window = Window(from_="bout.start", to=f"bout.start + {span}")
    of = Events(kind=_CONDITION, codes=_ranked(dice, _DISEASES), window=window)
    return tree.Any(of=of), _policy(dice)


def _women(dice: Random, _disease: str) -> _Made:
    name = dice.choice(("pregnancy", "breastfeeding"))
    of = Events(kind=_CONDITION, codes=name, window=_since(dice.choice(("12 months", "9 months"))))
    return tree.Any(of=of), {"applies_if": tree.Sex(is_="female"), "lasts": "passing"}
