"""The faults that the proof draws: those that a client can see, or that it need not see.

Not drawn is what no client can tell from a true answer, for the proof would then ask of it what
nobody can do: a search that is answered with nobody (``emptied_parameter``; where a server always
does so a canary shows it), a cache that keeps no-cache to itself, an entry missing with the total
made to fit. Nor ``delayed`` (the clock here is the proof's own) and ``transaction_as_batch`` (no
transaction is ever sent).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import fault_proxy as faults

if TYPE_CHECKING:
    from proof.world import World


@dataclass(frozen=True)
class Drawn:
    """A fault, and which requests it strikes: any, where none are named."""

    made: Callable[[World], faults.Fault]
    on: faults.Matcher | None = None
    lasts: bool = False
    """Until the server is well again, not a few times."""


def _stale(world: World) -> faults.Fault:
    """A cache for a minute; who asks it not to gets a fresh answer."""
    return faults.stale_search(60, clock=lambda: world.clock.at.timestamp())  # noqa: PLW0108 - the clock moves


FAULTS = (
    Drawn(lambda _: faults.throttled(429, "1")),
    Drawn(lambda _: faults.throttled_until(1, 503)),
    Drawn(lambda _: faults.cut_body()),
    Drawn(lambda _: faults.cut_after_commit()),
    Drawn(lambda _: faults.cut_before_commit()),
    Drawn(lambda _: faults.error_after_commit(500)),
    Drawn(lambda _: faults.duplicated()),
    Drawn(lambda _: faults.reordered()),
    Drawn(lambda _: faults.repeated_entry()),
    Drawn(lambda _: faults.html(200)),
    Drawn(lambda _: faults.html(502)),
    Drawn(lambda _: faults.unauthorized()),
    Drawn(lambda _: faults.missing_entry(), faults.is_search_or_page),
    Drawn(lambda _: faults.emptied_entry(), faults.is_search_or_page),
    Drawn(lambda _: faults.swapped_entry(), faults.is_search_or_page),
    Drawn(lambda _: faults.ignored_parameter("patient"), faults.is_search),
    Drawn(lambda _: faults.ignored_parameter("identifier"), faults.is_search),
    Drawn(_stale, faults.is_search, lasts=True),
    Drawn(lambda _: faults.expired_page(), faults.is_page),
    Drawn(lambda _: faults.unauthorized(), faults.is_page),
    Drawn(lambda _: faults.no_next(), faults.is_search_or_page),
    Drawn(lambda _: faults.looping_next(), faults.is_search_or_page),
    Drawn(lambda _: faults.foreign_next(), faults.is_search_or_page),
    Drawn(lambda _: faults.relative_next(), faults.is_search_or_page),
    Drawn(lambda _: faults.forgotten_create(), faults.is_create),
    Drawn(lambda _: faults.no_metadata(), faults.is_metadata),
    Drawn(lambda _: faults.lying_metadata(rest=[]), faults.is_metadata),
    Drawn(lambda _: faults.in_batch(faults.throttled(429, "1")), faults.is_batch),
    Drawn(lambda _: faults.in_batch(faults.status(500)), faults.is_batch),
)
