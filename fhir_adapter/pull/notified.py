"""What a rest-hook was told: whose record to read again, and what was lost on the way."""

from __future__ import annotations

from fhir_adapter.client import FhirClient, why_not_of
from fhir_adapter.errors import ServerFault
from fhir_adapter.fhir.notification import Notification, Told, read_notification
from fhir_adapter.ports import Cursors, Look
from fhir_adapter.pull.polling import concerned, is_our_writing


class Notified:
    """Reads messages of one server.

    A payload is a hint: nothing of it is judged. Lost events of a topic are asked for once more;
    where that fails, the next poll or sweep finds what they were about.
    """

    def __init__(self, client: FhirClient, cursors: Cursors) -> None:
        self._client = client
        self._cursors = cursors

    def take(self, told: Notification) -> Look:
        """Patients that a message names; ``why_not`` where some could not be found out."""
        looks = [self._of(told), self._lost(told)]
        whys = [one.why_not for one in looks if one.why_not]
        patients = dict.fromkeys(patient for one in looks for patient in one.patients)
        if told.subscription and told.last is not None:
            self._cursors.keep_cursor(_numbered(told.subscription), str(told.last))
        return Look(patients=tuple(patients), why_not=next(iter(whys), ""))

    def _of(self, told: Notification) -> Look:
        patients = dict[str, None]()
        why_not = "" if told.resources or told.focus or told.told in _QUIET else "nobody-named"
        for sent in told.resources:
            try:
                resource = self._client.in_r4(sent)
            except ServerFault as fault:
                why_not = why_not_of(fault)
                continue
            if not is_our_writing(resource):
                patients.update(dict.fromkeys(concerned(resource)))
        for reference in told.focus:
            try:
                patients.update(dict.fromkeys(self._owners(reference)))
            except ServerFault as fault:
                why_not = why_not_of(fault)
        return Look(patients=tuple(patients), why_not=why_not)

    def _owners(self, reference: str) -> tuple[str, ...]:
        kind, _, number = reference.partition("/")
        if kind == "Patient":
            return (number,)
        found = self._client.read(kind, number)
        return () if found is None or is_our_writing(found) else concerned(found)

    def _lost(self, told: Notification) -> Look:
        """Events between the last message and this one."""
        before = self._cursors.cursor(_numbered(told.subscription)) if told.subscription else ""
        known = int(before) if before.isdecimal() else None
        upto = _upto(told)
        if known is None or upto is None or upto == known:
            return Look()
        if upto < known:  # the subscription began anew: nobody knows what lies between
            return Look(why_not="events-lost" if told.told is not Told.EVENTS else "")
        try:
            events = self._client.subscription_events(told.subscription, known + 1, upto)
        except ServerFault as fault:
            return Look(why_not=why_not_of(fault))
        again = read_notification(events)
        found = self._of(again)
        whole = again.first is not None and again.first <= known + 1
        return found if whole else Look(patients=found.patients, why_not="events-lost")


_QUIET = frozenset((Told.HANDSHAKE, Told.HEARTBEAT))


def _upto(told: Notification) -> int | None:
    """The newest event that should have come before this message."""
    if told.first is not None:
        return told.first - 1
    return told.last


def _numbered(subscription: str) -> str:
    return f"events:{subscription}"
