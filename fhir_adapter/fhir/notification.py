"""What a FHIR server says to a rest-hook: R4 Subscriptions, and topics by the R5 backport.

Read tolerantly: what is said is a hint to read again, so whatever cannot be read costs a poll and
no more. R4 Subscription (4.0.1, section 2.46): the body is empty, or the resource that matched.
Subscriptions R5 Backport 1.1.0: a Bundle (``history``) whose first entry is the status: a
Parameters resource in R4, a SubscriptionStatus in R4B and R5.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from fhir_adapter.fhir.reading import part, parts, text
from fhir_adapter.ports import Resource


class Told(Enum):
    """What kind of message it is: compare with ``is``."""

    HANDSHAKE = "handshake"
    HEARTBEAT = "heartbeat"
    EVENTS = "event-notification"
    PLAIN = "plain"
    """Of an R4 Subscription: something matched; no number, no topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message, with what it says of resources; no state is read from it."""

    told: Told
    subscription: str = ""
    """Logical id of the Subscription; empty where the message does not say."""
    last: int | None = None
    """Number of the newest event since the subscription began."""
    first: int | None = None
    """Lowest number in this message; what lies between the last message and it was lost."""
    resources: tuple[Resource, ...] = field(default=(), repr=False)
    focus: tuple[str, ...] = field(default=(), repr=False)
    """``Type/id`` of resources that are named and not sent."""


def read_notification(body: Resource | None) -> Notification:
    """Any message: an empty body is a plain one, and so is what cannot be understood."""
    if not body:
        return Notification(told=Told.PLAIN)
    if body.get("resourceType") != "Bundle":
        return Notification(told=Told.PLAIN, resources=(body,))
    resources = [part(entry.get("resource")) for entry in parts(body.get("entry"))]
    status = next((one for one in resources if _is_status(one)), None)
    rest = tuple(one for one in resources if one and one is not status)
    if status is None:
        return Notification(told=Told.PLAIN, resources=rest)
    said = _of_parameters(status) if "parameter" in status else _of_status(status)
    sent = {f"{one.get('resourceType')}/{one.get('id')}" for one in rest}
    focus = tuple(dict.fromkeys(one for one in said.focus if one not in sent))
    return Notification(
        told=said.told,
        subscription=said.subscription,
        last=said.last,
        first=said.first,
        resources=rest,
        focus=focus,
    )


def _is_status(resource: Resource) -> bool:
    kind = resource.get("resourceType")
    return kind == "SubscriptionStatus" or (kind == "Parameters" and _named(resource, "type") != {})


def _named(resource: Resource, name: str) -> Resource:
    nothing: Resource = {}
    found = (one for one in parts(resource.get("parameter")) if one.get("name") == name)
    return next(found, nothing)


def _of_parameters(status: Resource) -> Notification:
    events = [one for one in parts(status.get("parameter")) if _is_event(one)]
    numbers, focus = list[int | None](), list[str]()
    for event in events:
        for one in parts(event.get("part")):
            if one.get("name") == "event-number":
                numbers.append(_number(_value(one)))
            elif one.get("name") in _FOCI:
                focus.append(_reference(one.get("valueReference")))
    return _notification(
        told=text(_value(_named(status, "type"))),
        subscription=_reference(_named(status, "subscription").get("valueReference")),
        last=_number(_value(_named(status, "events-since-subscription-start"))),
        numbers=numbers,
        focus=focus,
    )


_FOCI = frozenset(("focus", "additional-context"))


def _is_event(parameter: Resource) -> bool:
    return parameter.get("name") == "notification-event"


def _of_status(status: Resource) -> Notification:
    events = parts(status.get("notificationEvent"))
    focus = [_reference(event.get("focus")) for event in events]
    more = [_reference(one) for event in events for one in parts(event.get("additionalContext"))]
    return _notification(
        told=text(status.get("type")),
        subscription=_reference(status.get("subscription")),
        last=_number(status.get("eventsSinceSubscriptionStart")),
        numbers=[_number(event.get("eventNumber")) for event in events],
        focus=[*focus, *more],
    )


def _notification(
    *, told: str, subscription: str, last: int | None, numbers: list[int | None], focus: list[str]
) -> Notification:
    known = [number for number in numbers if number is not None]
    kinds = {kind.value: kind for kind in (Told.HANDSHAKE, Told.HEARTBEAT, Told.EVENTS)}
    return Notification(
        told=kinds.get(told, Told.EVENTS),
        subscription=subscription.rpartition("/")[2],
        last=max([*known, *([last] if last is not None else [])], default=None),
        first=min(known, default=None),
        focus=tuple(one for one in focus if one),
    )


def _value(parameter: Resource) -> object:
    """value[x] of a parameter, of whatever type the server chose."""
    return next((v for name, v in parameter.items() if name.startswith("value")), "")


def _number(value: object) -> int | None:
    """R4 says event numbers as strings, R5 as integer64 (strings in JSON too)."""
    found = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    return int(found) if found.isascii() and found.isdecimal() else None


def _reference(element: object) -> str:
    """``Type/id``, without server and version; empty where there is none."""
    reference = text(part(element).get("reference")).partition("/_history/")[0]
    return "/".join(reference.split("/")[-2:])
