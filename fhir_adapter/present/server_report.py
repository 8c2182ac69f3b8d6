"""What a doctor found, for people: one server in rows, several in a matrix; and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_adapter.model.server import Finding, ServerProfile, Verdict, WriteWay

GROUPS: Mapping[str, str] = {
    "metadata": "What it says of itself",
    "read": "Reading",
    "query": "Searching",
    "search": "Search parameters, by type",
    "paging": "Pages",
    "write": "Writing",
    "bundle": "Transactions and batches",
    "caching": "Caching",
    "validation": "Validation",
    "kept": "What we write, taken and kept",
    "operation": "Operations",
    "subscription": "Subscriptions",
}
_SIGNS = {Verdict.WORKS: "works", Verdict.FAILS: "**fails**", Verdict.CANNOT_TELL: "?"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the report; ``verdict`` as in a finding."""

    what: str
    verdict: Verdict
    seen: str
    means: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One server of a matrix."""

    name: str
    software: str
    findings: tuple[Finding, ...]


def grouped(findings: Sequence[Finding]) -> list[tuple[str, list[Row]]]:
    """Heading and rows of each group; search parameters that came to the same are one row."""
    found = ((title, [f for f in findings if f.group == name]) for name, title in GROUPS.items())
    return [
        (title, _by_type(inside) if inside[0].group == "search" else list(map(_row, inside)))
        for title, inside in found
        if inside
    ]


def _row(finding: Finding) -> Row:
    means = finding.consequence if finding.verdict is Verdict.FAILS else ""
    remedy = f" {finding.remedy}" if means and finding.remedy else ""
    said = f"{means[:1].upper()}{means[1:]}.{remedy}" if means else ""
    return Row(what=finding.title, verdict=finding.verdict, seen=finding.reason, means=said)


def _by_type(findings: Iterable[Finding]) -> list[Row]:
    alike: dict[tuple[str, Verdict, str, str], list[str]] = {}
    for one in findings:
        _, kind, parameter = one.id.split(".", 2)
        row = _row(one)
        alike.setdefault((kind, row.verdict, row.seen, row.means), []).append(parameter)
    return [
        Row(what=f"{kind}: {', '.join(names)}", verdict=verdict, seen=seen, means=means)
        for (kind, verdict, seen, means), names in alike.items()
    ]


def choices(profile: ServerProfile, ways: Iterable[WriteWay]) -> dict[str, Any]:
    """What the adapter would do with this server, where its settings name this profile.

    ``ways``: as writing back has chosen them.
    """
    kinds = sorted({name.split(".")[1] for name in profile.verdicts if name.startswith("search.")})
    unused = {kind: sorted(profile.unused_parameters(kind)) for kind in kinds}
    return {
        "write-ways": [way.value for way in ways],
        "post-search": profile.posts_searches,
        "largest-page": profile.largest_page,
        "unused-parameters": {kind: names for kind, names in unused.items() if names},
    }


def ways_sentence(ways: Sequence[WriteWay], reason: str, *, proved: bool) -> str:
    """By which way proposals are written, and by which where the server refuses that.

    >>> ways_sentence([WriteWay.SEARCH_THEN_CREATE, WriteWay.TASK], "it was seen", proved=True)
    'Proposals by: search-then-create, where that is refused task (it was seen).'
    """
    named = [way.value for way in ways if way is not WriteWay.NOTHING]
    first = ", where that is refused ".join(named) or "nothing but the ledger"
    tries = "" if proved else " Not tried: --write does, where what it writes can be taken away."
    return f"Proposals by: {first} ({reason}).{tries}" if ways else ""


def finding_json(finding: Finding) -> dict[str, Any]:
    """One check as JSON."""
    return {
        "id": finding.id,
        "group": finding.group,
        "title": finding.title,
        "result": finding.verdict.value,
        "reason": finding.reason,
        "consequence": finding.consequence,
        "remedy": finding.remedy,
        "needed": finding.needed,
    }


def tally(findings: Iterable[Finding]) -> str:
    """How many work, fail, and cannot be told."""
    found = [one.verdict for one in findings]
    works, fails = found.count(Verdict.WORKS), found.count(Verdict.FAILS)
    return f"{works} work, {fails} fail, {len(found) - works - fails} cannot be told"


def untried(count: int, *, of: int) -> str:
    """What a run that was short of time left out; what is needed was tried first.

    >>> untried(40, of=196)
    '40 of 196 checks were not tried: no time or no request was left. --seconds gives more.'
    """
    return (
        f"{count} of {of} checks were not tried: no time or no request was left. "
        "--seconds gives more."
    )


def matrix(columns: Sequence[Column]) -> str:
    """A Markdown table per group, one column per server; a reason stands where it differs."""
    lines = ["| server | software | result |", "| --- | --- | --- |"]
    lines += [f"| {one.name} | {_cell(one.software)} | {tally(one.findings)} |" for one in columns]
    for group, title in GROUPS.items():
        rows = _matrix_rows(columns, group)
        if rows:
            names = " | ".join(one.name for one in columns)
            lines += ["", f"## {title}", "", f"| check | {names} |"]
            lines += ["| --- |" + " --- |" * len(columns), *rows]
    return "\n".join(lines) + "\n"


def _matrix_rows(columns: Sequence[Column], group: str) -> list[str]:
    by_id = [{one.id: one for one in column.findings} for column in columns]
    titles = {
        one.id: one.title for column in columns for one in column.findings if one.group == group
    }
    return [
        f"| {_cell(title)} | " + " | ".join(_mark(found.get(name)) for found in by_id) + " |"
        for name, title in titles.items()
    ]


def _mark(finding: Finding | None) -> str:
    if finding is None:
        return ""
    sign = _SIGNS[finding.verdict]
    return sign if finding.verdict is Verdict.WORKS else f"{sign} {_cell(finding.reason)}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
