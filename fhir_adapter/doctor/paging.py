"""Pages: that there are more, that they are all there, that links stay at home."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_adapter.client.urls import resolved, same_origin
from fhir_adapter.doctor.check import Check, Seen, either, fails, unsure, works
from fhir_adapter.doctor.exam import Exam
from fhir_adapter.doctor.probe import Reply
from fhir_adapter.fhir.reading import text

_MOST = 8
_LARGE = 500


@dataclass(frozen=True, slots=True)
class _Walk:
    pages: tuple[Reply, ...]
    foreign: bool = False
    broken: int = 0
    """Status of a page that was refused."""
    cut: bool = False
    """There were more pages than were followed."""

    @property
    def ids(self) -> list[str]:
        return [text(one.get("id")) for page in self.pages for one in page.rows("Observation")]


def _scope(exam: Exam) -> dict[str, str]:
    found = exam.specimen("Observation")
    patient = "" if found is None else exam.patient_of(found)
    return {"patient": patient} if patient else {}


def _first(exam: Exam) -> Reply:
    asked = {**_scope(exam), "_count": "1"}
    return exam.once("page", lambda: exam.probe.find("Observation", asked))


def _walk(exam: Exam) -> _Walk:
    pages = [_first(exam)]
    for number in range(1, _MOST):
        link = pages[-1].link("next")
        if not link:
            return _Walk(tuple(pages))
        url = resolved(link, base=exam.probe.base, asked=pages[-1].url)
        if not same_origin(url, exam.probe.base):
            return _Walk(tuple(pages), foreign=True)
        page = exam.once(f"page{number}", lambda url=url: exam.probe.get(url))  # type: ignore[misc] # mypy cannot infer a default of a lambda
        if not page.is_searchset:
            return _Walk(tuple(pages), broken=page.status)
        pages.append(page)
    return _Walk(tuple(pages), cut=bool(pages[-1].link("next")))


def _several(exam: Exam) -> Seen | None:
    """Why nothing can be said; None where there is more than one resource."""
    first = _first(exam)
    if not first.is_searchset:
        return fails(f"refused ({first.status})")
    whole = exam.once(
        "whole", lambda: exam.probe.find("Observation", {**_scope(exam), "_count": "50"})
    )
    if len(whole.rows("Observation")) > 1 or (first.total or 0) > 1:
        return None
    return unsure("there are not two resources to page through")


def _next(exam: Exam) -> Seen:
    why = _several(exam)
    if why is not None:
        return why
    walk = _walk(exam)
    if walk.broken:
        return fails(f"the next page was refused ({walk.broken})")
    if walk.foreign:
        return fails("the next page is on another origin")
    if len(walk.pages) > 1:
        return either(len(set(walk.ids)) > 1, "followed", "the next page is the same page")
    if len(walk.ids) > 1:
        return unsure("_count is not heeded: all came at once")
    return fails("there is more, and no next link")


def _origin(exam: Exam) -> Seen:
    link = _first(exam).link("next")
    if not link:
        return unsure("there is no next link")
    url = resolved(link, base=exam.probe.base, asked=_first(exam).url)
    return either(same_origin(url, exam.probe.base), "same origin", "another origin")


def _whole(exam: Exam) -> Seen:
    why = _several(exam)
    if why is not None:
        return why
    walk = _walk(exam)
    if len(walk.ids) != len(set(walk.ids)):
        return fails("a resource came twice")
    total = _first(exam).total
    if walk.cut or total is None:
        return unsure("too many pages to count" if walk.cut else "no total to count against")
    return either(len(walk.ids) == total, "all came, each once", f"{len(walk.ids)} of {total} came")


def _total(exam: Exam) -> Seen:
    first = _first(exam)
    if not first.is_searchset:
        return fails(f"refused ({first.status})")
    if first.total is None:
        return fails("none is stated")
    walk = _walk(exam)
    if walk.cut or walk.broken or walk.foreign:
        return works("stated")
    known = max(len(set(walk.ids)), len(_whole_page(exam).rows("Observation")))
    return either(first.total >= known, "stated", "less than there is")


def _whole_page(exam: Exam) -> Reply:
    return exam.once(
        "whole", lambda: exam.probe.find("Observation", {**_scope(exam), "_count": "50"})
    )


def _stable(exam: Exam) -> Seen:
    """The second page, asked for again, is the same page."""
    walk = _walk(exam)
    if len(walk.pages) < 2:  # noqa: PLR2004 - a second page
        return unsure("there is no second page")
    again = exam.probe.get(walk.pages[1].url)
    if not again.is_searchset:
        return fails(f"asked for again it is refused ({again.status})")
    before = [one.get("id") for one in walk.pages[1].rows("Observation")]
    after = [one.get("id") for one in again.rows("Observation")]
    return either(before == after, "the same page again", "another page under the same link")


def _size(exam: Exam) -> Seen:
    """Of everybody's where the server lets that be asked for."""
    everybody = exam.probe.find("Observation", {"_count": str(_LARGE)})
    reply = everybody
    if not everybody.is_searchset:
        reply = exam.probe.find("Observation", {**_scope(exam), "_count": str(_LARGE)})
    if not reply.is_searchset:
        return fails(f"refused ({reply.status})")
    rows = len(reply.rows("Observation"))
    if rows >= _LARGE:
        return works(f"{_LARGE} on a page")
    if reply.link("next") and rows:
        exam.largest_page = rows
        return works(f"at most {rows} on a page")
    return unsure(f"less than {_LARGE} are there")


CHECKS: tuple[Check, ...] = (
    Check(
        id="paging.next",
        title="a further page can be had",
        means="a patient with more than one page of results is not retrieved whole",
        remedy="Raise the server's page size until every patient fits on one page.",
        look=_next,
        needed=True,
    ),
    Check(
        id="paging.same-origin",
        title="next links stay on the same origin",
        means="credentials are not sent to another host: what is left is not retrieved",
        remedy="Set the server's public address so that its links have the same origin.",
        look=_origin,
        needed=True,
    ),
    Check(
        id="paging.whole",
        title="all pages together are the whole, each resource once",
        means="a record may lack what was between two pages",
        remedy="Ask the vendor; meanwhile raise the page size.",
        look=_whole,
        needed=True,
    ),
    Check(
        id="paging.total",
        title="a total is stated and true",
        means="a page chain that breaks off cannot be noticed",
        look=_total,
    ),
    Check(
        id="paging.stable",
        title="a page link can be used again",
        means="a page that was lost on the way means a new search",
        look=_stable,
    ),
    Check(
        id="paging.size",
        title=f"pages of {_LARGE} can be asked for",
        means="pages of the size that the pull asks for are refused",
        look=_size,
    ),
)
