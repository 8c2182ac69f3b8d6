"""The feasibility report as one self-contained page: no request leaves it, nothing is loaded."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fhir_adapter.cli.feasibility_tables import gain, number
from fhir_adapter.present.feasibility import (
    DATA_GROUPS,
    OUTCOME_GROUPS,
    Count,
    Feasibility,
    Line,
    StepLine,
)
from fhir_adapter.present.words import DISCLAIMER, STOPS, UNCONFIRMED
from fhir_adapter.version import __version__

_HERE = Path(__file__).parent / "templates"
_HOUSE = Path(__file__).parents[1] / "web" / "static" / "style.css"
_MOST = 4000
"""Combinations that a page carries; with more of them the orders are those that were asked for."""


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a bar, in percent of its length."""

    kind: str
    x: float
    width: float


def page(report: Feasibility, *, as_of: str, site: str) -> str:
    """The whole page: inline style, script and plots, under a policy that allows nothing else."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = _HOUSE.read_text("utf-8") + (_HERE / "feasibility.css").read_text("utf-8")
    script = (_HERE / "feasibility.js").read_text("utf-8")
    return environment.get_template("feasibility.html").render(
        number=number,
        share=share,
        step_bar=step_bar,
        bar=bar,
        data_parts=data_parts,
        sole_parts=sole_parts,
        gain=gain,
        report=report,
        study=report.study,
        as_of=as_of,
        site=site,
        style=Markup(style),  # noqa: S704 - files of this package
        script=Markup(script),  # noqa: S704 - likewise
        policy=_policy(style, script),
        combinations=_combinations(report),
        outcome_groups=OUTCOME_GROUPS,
        data_groups=DATA_GROUPS,
        stops=STOPS,
        unconfirmed=UNCONFIRMED,
        disclaimer=DISCLAIMER,
        version=__version__,
        widest=max((line.against_total or 0 for line in report.lines), default=0),
        most=max((_most(line) for line in report.lines), default=0),
    )


def _policy(style: str, script: str) -> str:
    hashes = [b64encode(sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _combinations(report: Feasibility) -> str:
    """What the page's script counts when criteria are moved; empty where it must not, or is large.

    Letters and numbers only: nothing in it can end the element that it stands in.
    """
    found = report.combinations
    return json.dumps(found) if 0 < len(found) <= _MOST else ""


def _most(line: Line) -> int:
    return max(line.to_candidate or 0, line.to_needs_data or 0, line.settled or 0)


def share(count: Count, total: Count) -> str:
    """Percent of everybody judged; empty where either is withheld."""
    if count is None or not total:
        return ""
    return f"{100 * count / total:.0f} %"


def bar(counts: Sequence[tuple[str, Count]], total: Count) -> tuple[Part, ...]:
    """Pieces side by side; what is withheld is the rest, in one piece."""
    if not total:
        return ()
    found: list[Part] = []
    x = 0.0
    for kind, count in counts:
        width = 100 * (count or 0) / total
        if width:
            found.append(Part(kind, round(x, 2), round(width, 2)))
            x += width
    if any(count is None for _, count in counts) and x < 100:  # noqa: PLR2004 - percent
        found.append(Part("withheld", round(x, 2), round(100 - x, 2)))
    return tuple(found)


def sole_parts(line: Line) -> tuple[tuple[str, Count], ...]:
    """Of the people it speaks against: those against whom nothing else does, and the others."""
    if line.against_total is None:
        return ()
    if line.sole is None:
        return (("withheld", line.against_total),)
    return (("sole", line.sole), ("shared", line.against_total - line.sole))


def step_bar(step: StepLine, judged: Count) -> tuple[Part, ...]:
    """Fits, open and against; a step that is withheld is one piece."""
    return bar((("fits", step.fits), ("open", step.open), ("against", step.against)), judged)


def data_parts(line: Line, judged: Count) -> tuple[Part, ...]:
    """What there was to go by for one criterion."""
    return bar(tuple(line.data().items()), judged)
