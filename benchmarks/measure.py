"""Timing and printing: percentiles, the machine's load, one table."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

CLOCK = time.process_time if os.environ.get("CLOCK") == "cpu" else time.perf_counter
"""Wall clock; CLOCK=cpu counts this process only, for a machine that others use too."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of a benchmark: milliseconds per item unless the name says otherwise."""

    name: str
    p50: float
    p99: float
    target: str = ""
    ratio: str = ""


def timed(
    name: str, items: Iterable[object], work: Callable[[object], object], *, target: str = ""
) -> Figure:
    """Milliseconds per item, garbage collection on; one warm-up over all items."""
    inputs = list(items)
    for item in inputs:
        work(item)
    gc.collect()
    spent: list[float] = []
    for item in inputs:
        begun = CLOCK()
        work(item)
        spent.append((CLOCK() - begun) * 1000)
    ordered = sorted(spent)
    return Figure(
        name=name,
        p50=statistics.median(ordered),
        p99=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        target=target,
    )


def table(title: str, figures: Iterable[Figure]) -> str:
    """Markdown, so that a page can take it as it is."""
    lines = [f"### {title}", "", "| what | p50 ms | p99 ms | target p50 | ratio |"]
    lines.append("| --- | ---: | ---: | --- | --- |")
    lines += [
        f"| {one.name} | {one.p50:.3f} | {one.p99:.3f} | {one.target} | {one.ratio} |"
        for one in figures
    ]
    return "\n".join(lines)


def cpu_table(title: str, rows: Iterable[tuple[str, int, float, float]]) -> str:
    """Markdown of (type, resources, seconds decoding, seconds normalising): CPU us for each."""
    lines = [
        f"### {title}",
        "",
        "| type | resources | decode us | normalise us | together | ratio |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, count, decoding, reading in rows:
        first, second = decoding / count * 1e6, reading / count * 1e6
        lines.append(
            f"| {name} | {count} | {first:.1f} | {second:.1f} | {first + second:.1f} |"
            f" {second / first:.1f} x decoding |"
        )
    return "\n".join(lines)


def machine() -> str:
    """Where and under what load this ran."""
    load = os.getloadavg()[0]
    clock = "process CPU time" if CLOCK is time.process_time else "wall clock"
    cores = f"{os.cpu_count()} cores, load average {load:.1f}"
    return f"Python {platform.python_version()}, {cores}, {clock}"
