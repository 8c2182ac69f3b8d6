"""What became of writing: told to people, and to the log by counts and codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.markup import escape

from fhir_adapter.cli.running import log, stderr_console, stdout
from fhir_adapter.ports import Written
from fhir_adapter.present.sentences import duplicates_sentence
from fhir_adapter.settings import Settings

_EACH = 3
"""Patients with one and the same failure who are named; of more their number is said."""


def show_written(written: Sequence[Written], *, write: bool) -> None:
    """What could not be written and for whom, then how much was or would be."""
    if not written:
        return
    # who writes nothing does not wait for the network's libraries
    from fhir_adapter.bootstrap.writing import written_sentence  # noqa: PLC0415 - as said above

    console = stdout()
    for code, said in _failures(written):
        console.print(f"[red]{code}[/] {escape(said)}", soft_wrap=True)
    console.print(written_sentence(written, write=write))


def _failures(written: Sequence[Written]) -> Iterator[tuple[str, str]]:
    """Code and text; what failed alike for many is said once."""
    alike: dict[tuple[str, str], list[str]] = {}
    for one in written:
        if one.error:
            alike.setdefault((one.error, "; ".join(one.notes)), []).append(one.patient)
    for (code, said), patients in alike.items():
        if len(patients) > _EACH:
            yield code, f"{said} So it is for {len(patients)} patients."
        else:
            yield from ((code, f"{patient}: {said}") for patient in patients)


def log_written(written: Sequence[Written], *, write: bool) -> None:
    """One line per failure, by its code, and the counts."""
    for one in written:
        if one.error:
            log("write-failed", code=one.error)
    if written:
        log(
            "written" if write else "would-write",
            patients=len(written),
            resources_created=sum(len(one.created) for one in written),
            resources_updated=sum(len(one.updated) for one in written),
            failed=sum(1 for one in written if one.error),
        )


def say_duplicates(count: int) -> None:
    """On stderr, whatever form the answer has: nobody else tells of who stands twice."""
    said = duplicates_sentence(count)
    if said:
        log("duplicates-found", duplicates=count)
        stderr_console().print(f"[yellow]{escape(said)}[/]", soft_wrap=True)


def say_of_list(said: str) -> None:
    """What became of the screening List, where that is not what was wanted."""
    if said:
        log("list-not-written")
        stderr_console().print(f"[yellow]{escape(said)}[/]", soft_wrap=True)


_WITHOUT_KEY = (
    "No site_key is set: what stands there from earlier runs is not recognised, and the counts are "
    "those of a first run."
)


def say_without_key(in_force: Settings, written: Sequence[Written], *, write: bool) -> None:
    """What a dry run's counts are worth."""
    if written and not (write or in_force.site_key):
        stderr_console().print(_WITHOUT_KEY, soft_wrap=True)
