"""Which version a server speaks, and the one place where R5 is turned into R4 and back."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_adapter.client.urls import Params
from fhir_adapter.errors import OtherVersion, ServerBroken
from fhir_adapter.fhir import r5
from fhir_adapter.ports import Resource

_SAID: dict[str, bool] = {}
"""By base URL: whether a server has told a client of this process that it speaks R5."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is known of one server; R4 goes through untouched."""

    base: str
    takes_r5: bool

    @property
    def is_r5(self) -> bool | None:
        """None: R5 may be spoken, and the server has told no client of this process yet."""
        return _SAID.get(self.base) if self.takes_r5 else False

    def heard(self, *, is_r5: bool) -> None:
        """The server has said which version it speaks."""
        _SAID[self.base] = is_r5

    def in_r4(self, found: Resource, *, where: str) -> Resource:
        """What came in; a fault where it cannot be told in R4."""
        if self.is_r5 is False:
            return found
        if self.is_r5 is None:
            return _unless_of_r5(found, where)
        try:
            return r5.to_r4(found)
        except r5.NotRead:
            raise not_in_r5("what it answered", where=where) from None

    def as_sent(self, resource: Resource, *, where: str) -> Resource:
        """What goes out; a fault for a type that is not written in R5."""
        if not self.is_r5:
            return resource
        try:
            return r5.to_r5(resource)
        except r5.NotRead:
            raise not_in_r5("this type", where=where) from None

    def params(self, resource_type: str, params: Params) -> Params:
        """A search as the server names it."""
        return r5.params_to_r5(resource_type, params) if self.is_r5 else params


def _unless_of_r5(found: Resource, where: str) -> Resource:
    """A server that does not say its version is taken for one of R4, as long as it may be one."""
    if r5.is_of_r5(found):
        raise OtherVersion(
            "the server does not say which version it speaks, and sends R5",
            where=where,
            remedy="Its /metadata has to say 5.0.0: run the command again when it answers.",
        )
    return found


def not_in_r5(what: str, *, where: str) -> ServerBroken:
    """Nothing is guessed: what has no counterpart is refused by us, as a server would refuse it."""
    return ServerBroken(
        f"the server speaks R5, and {what} cannot be turned into R4 or from it",
        where=where,
        remedy="See in docs/servers.md what is supported of R5.",
    )
