"""What one patient of the teaching cohort costs of a record server: requests and milliseconds.

One run over everybody, one after the other, with the companions it has read; searches one by one,
then in batches. `FHIR_SERVER=url` takes a server that holds the cohort in place of the sandbox.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from benchmarks.faults import AS_OF, teaching_server
from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.clients import record_client
from fhir_adapter.bootstrap.records import server_records
from fhir_adapter.screening import screen_everyone
from fhir_adapter.settings import Connection, Settings

HEAD = (
    "| searches | patients | median | 90th percentile | most | in all | ms, median "
    "| ms, 90th percentile |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one patient."""

    requests: int
    milliseconds: float


def costs(base: str, batch: str) -> list[Cost]:
    """Everybody's, in the order in which they were read."""
    settings = Settings(record_server=base, record=Connection(batch=batch))
    bench = bootstrap.bench(settings)
    source = server_records(settings, record_client(settings))
    as_of = bootstrap.parse_as_of(AS_OF, bench.zone, bench.clock)
    patients = list(source.patients())
    made, began = list[Cost](), time.perf_counter()
    for one in screen_everyone(bench.screener, source, as_of, patients):
        assert one.error is None, one.error
        ended = time.perf_counter()
        made.append(Cost(requests=one.requests, milliseconds=1000 * (ended - began)))
        began = ended
    return made


def main() -> str:
    """One line per way of searching."""
    lines = [HEAD]
    with teaching_server() as base:
        costs(
            base, "never"
        )  # what is built at the first question, ours and theirs, is no patient's
        for name, batch in (("one by one", "never"), ("in batches", "always")):
            lines.append(_line(name, costs(base, batch)))
    return "\n".join(lines)


def _line(name: str, found: list[Cost]) -> str:
    asked = sorted(one.requests for one in found)
    took = sorted(one.milliseconds for one in found)
    ninth = round(0.9 * (len(found) - 1))
    return (
        f"| {name} | {len(found)} | {statistics.median(asked):g} | {asked[ninth]} | {asked[-1]} "
        f"| {sum(asked)} | {statistics.median(took):.0f} | {took[ninth]:.0f} |"
    )
