"""The faults that the proof draws: those that a client can see, or that it need not see."""

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
)
