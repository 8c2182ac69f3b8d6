"""What the doctor writes: every resource marked, remembered before it is sent, taken away again."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhir_adapter.doctor.probe import Probe, Reply
from fhir_adapter.errors import AdapterError
from fhir_adapter.fhir.reading import part, parts, text
from fhir_adapter.model.vocabulary import BASE
from fhir_adapter.ports import Resource

SYSTEM = f"{BASE}/doctor"
"""System of the identifiers of everything that the doctor writes."""
_TEST_DATA = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "code": "HTEST",
    "display": "test health data",
}
_ROUNDS = 4
_TRIES, _PAUSE = 2, 0.5
_CONFLICT = 409
_WITHOUT_IDENTIFIER = frozenset(("Provenance", "Subscription", "Group"))


@dataclass(slots=True, kw_only=True)
class Own:
    """The resources of one run; ``token`` is unique to it."""

    probe: Probe
    token: str
    _known: dict[tuple[str, str], None] = field(default_factory=dict[tuple[str, str], None])
    """Type and id of what stands, in the order in which it was made."""
    _maybe: dict[tuple[str, str], None] = field(default_factory=dict[tuple[str, str], None])
    """Type and identifier of what was sent: an error answer does not mean that it is not there."""
    _count: int = 0

    def name(self) -> str:
        """A value that nothing else has."""
        self._count += 1
        return f"{self.token}-{self._count}"

    def marked(self, resource_type: str, elements: Resource, name: str = "") -> Resource:
        """The resource with our identifier and the label of test data."""
        made: Resource = {
            "resourceType": resource_type,
            "meta": {"security": [_TEST_DATA], "tag": [{"system": SYSTEM, "code": self.token}]},
            **elements,
        }
        if resource_type not in _WITHOUT_IDENTIFIER:
            own = {"system": SYSTEM, "value": name or self.name()}
            made["identifier"] = own if resource_type in _ONE_IDENTIFIER else [own]
        return made

    def expect(self, resource: Resource) -> None:
        """Remember what may come to stand, before it is sent."""
        for one in parts(resource.get("identifier")):
            self._maybe[text(resource["resourceType"]), text(one.get("value"))] = None

    def _settle(self, resource: Resource) -> None:
        """What was sent is known by its id: it need not be looked for."""
        for one in parts(resource.get("identifier")):
            self._maybe.pop((text(resource["resourceType"]), text(one.get("value"))), None)

    def create(self, resource: Resource, **headers: str) -> Reply:
        """POST of a marked resource."""
        kind = text(resource["resourceType"])
        self.expect(resource)
        reply = self.probe.ask("POST", kind, body=resource, headers=_spelled(headers))
        self.keep(kind, reply)
        if reply.is_good and reply.id:
            self._settle(resource)
        return reply

    def put(self, resource: Resource, **headers: str) -> Reply:
        """PUT of a marked resource under its own id."""
        kind, number = text(resource["resourceType"]), text(resource["id"])
        self.expect(resource)
        self._known[kind, number] = None
        place = f"{kind}/{number}"
        reply = self.probe.ask("PUT", place, body=resource, headers=_spelled(headers))
        if reply.is_good and reply.id in {"", number}:
            self._settle(resource)
        return reply

    def put_where(self, resource: Resource, params: dict[str, str]) -> Reply:
        """Conditional PUT."""
        kind = text(resource["resourceType"])
        self.expect(resource)
        reply = self.probe.ask("PUT", kind, params=params, body=resource)
        self.keep(kind, reply)
        return reply

    def keep(self, kind: str, reply: Reply) -> None:
        """Remember what came to stand."""
        if reply.is_good and reply.id:
            self._known[kind, reply.id] = None

    def keep_all(self, bundle: Resource) -> None:
        """Remember what a transaction or batch says that it made."""
        for entry in parts(bundle.get("entry")):
            steps = text(part(entry.get("response")).get("location")).split("/_history/", 1)[0]
            named = steps.rstrip("/").split("/")
            if len(named) > 1:
                self._known[named[-2], named[-1]] = None

    def delete(self, kind: str, number: str) -> Reply:
        """DELETE of one of ours; a 409 is tried again.

        HAPI answers one now and then to a DELETE right after a create, and not a moment later.
        """
        reply = self.probe.ask("DELETE", f"{kind}/{number}")
        for _ in range(_TRIES):
            if reply.status != _CONFLICT:
                return reply
            self.probe.pause(_PAUSE)
            reply = self.probe.ask("DELETE", f"{kind}/{number}")
        return reply

    def remove_all(self) -> tuple[str, ...]:
        """Take everything away, what refers to others first; gives what still stands.

        Ctrl-C here ends it: then what was not tried stands, too.
        """
        self.probe.reserve = True
        unseen = self._keep_strays()
        left = [one for one in reversed(self._known) if one[1]]
        for _ in range(_ROUNDS):
            still = self._round(left)
            done = not still or len(still) == len(left)
            left = still
            if done:
                break
        return (*(f"{kind}/{number}" for kind, number in left), *unseen)

    def _round(self, left: list[tuple[str, str]]) -> list[tuple[str, str]]:
        still: list[tuple[str, str]] = []
        for place, one in enumerate(left):
            try:
                if not self.is_removed(*one):
                    still.append(one)
            except KeyboardInterrupt:
                return [*still, *left[place:]]
        return still

    def _keep_strays(self) -> tuple[str, ...]:
        """Find what stands under our identifiers although no answer named its id.

        Gives those that could not be looked for.
        """
        unseen = list(self._maybe)
        try:
            for one in tuple(self._maybe):
                if self._is_found(*one):
                    unseen.remove(one)
        except KeyboardInterrupt:
            pass
        return tuple(f"{kind}?identifier={SYSTEM}|{value}" for kind, value in unseen)

    def _is_found(self, kind: str, value: str) -> bool:
        """Whether the server could be asked; what is there is kept in mind."""
        try:
            found = self.probe.find(kind, {"identifier": f"{SYSTEM}|{value}"})
        except AdapterError:
            return False
        for one in found.rows(kind):
            if any(text(i.get("value")) == value for i in parts(one.get("identifier"))):
                self._known[kind, text(one.get("id"))] = None
        return True

    def is_removed(self, kind: str, number: str) -> bool:
        """Whether one of the doctor's is gone, which is seen to; not where it cannot be seen."""
        try:
            if self.probe.get(f"{kind}/{number}").is_gone:
                return True
            self.delete(kind, number)
            return self.probe.get(f"{kind}/{number}").is_gone
        except AdapterError:
            return False


_ONE_IDENTIFIER = frozenset(("QuestionnaireResponse", "Bundle", "Composition"))


def _spelled(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}
