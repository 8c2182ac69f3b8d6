"""The desk that takes what a record server says by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from fhir_adapter.errors import AdapterError
from fhir_adapter.fhir.notification import Notification
from fhir_adapter.ports import ChangedPatients, Look

NOTICE = "notification"


@dataclass(slots=True, kw_only=True)
class NoticeDesk:
    """Takes what a server says by itself; who is named is marked before the server gets its 200.

    Where nobody can be named the poll is woken: it finds what the message was about.
    """

    read: Callable[[Notification], Look]
    queue: ChangedPatients
    wake: threading.Event = field(default_factory=threading.Event)
    """Set: look and work now."""
    taken: int = 0

    def take(self, told: Notification) -> None:
        """One message."""
        self.taken += 1
        try:
            found = self.read(told)
        except AdapterError as fault:
            found = Look(why_not=fault.code)
        if found.patients:
            self.queue.mark(found.patients, NOTICE)
        if found.patients or found.why_not:
            self.wake.set()
