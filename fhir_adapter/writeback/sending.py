"""Single writes, each read back whatever the answer said; in a dry run the same calls only read.

A transient fault is tried once more, after looking whether the write arrived all the same: an
error answer does not mean that nothing was written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from fhir_adapter.client import Params, Saved, escaped, status_of
from fhir_adapter.errors import (
    AdapterError,
    ServerBroken,
    ServerFault,
    ServerThrottled,
    ServerUnreachable,
    WriteConflict,
    WriteUnverified,
)
from fhir_adapter.fhir.normal import first_difference, same_content
from fhir_adapter.fhir.reading import is_array
from fhir_adapter.ports import Resource
from fhir_adapter.writeback.filling import PLACEHOLDER
from fhir_adapter.writeback.needs import WriteClient
from fhir_adapter.writeback.standing import identifiers, oldest_first
from fhir_adapter.writeback.strategy import Choice

_READ_BACK = "Compare what the server keeps with what was sent, then run again."
_FORGOTTEN = (
    "The server answered that it took it. Either it stores nothing (an address for trying), or it "
    "keeps it in another tenant than it reads from (look at the headers of the settings), or it "
    "shows it only later (run again). `fhir-adapter server doctor URL --write` tries it out."
)

Lookup = Callable[[], Resource | None]
"""Finds what a write left behind when its answer was lost."""
Came = Callable[[], bool]
Post = Callable[[Resource], Saved]


def key_params(resource: Resource, key: str = "") -> Params:
    """Search by identifier: the one whose value is the key, else the first."""
    found = resource["identifier"]
    items = found if is_array(found) else [found]
    chosen = next((item for item in items if item.get("value") == key), items[0])
    return token(str(chosen.get("system", "")), str(chosen["value"]))


def token(system: str, value: str) -> Params:
    """``identifier=system|value``; without a system the value alone, in any system."""
    wanted = escaped(value)
    return {"identifier": f"{escaped(system)}|{wanted}" if system else wanted}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stands after a create; ``made`` is False where another writer was first."""

    resource: Resource
    made: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Verified writes to one server."""

    client: WriteClient
    choice: Choice
    write: bool
    """False: a dry run."""

    def all(self, resource_type: str, params: Params) -> list[Resource]:
        """Everything that the search finds, oldest first; a part of it is no answer.

        A server that ignores ``identifier`` answers with everybody's: those are left out here.
        """
        found = self.client.search(resource_type, params)
        if not found.complete:
            raise ServerBroken(
                f"a search before a write was not answered whole ({found.why_not})",
                where=resource_type,
                remedy="Run `fhir-adapter server doctor`.",
            )
        return oldest_first(one for one in found.matches if _carries(one, params))

    def create(self, resource: Resource, params: Params, came: Came = lambda: False) -> Kept:
        """Conditional on the identifier where the server can; a lost race is not an error.

        ``came`` tells, after a lost answer, whether it arrived although it does not stand.
        """
        condition = params if self.choice.conditional else None
        put = self.choice.puts_on_identifier(str(resource["resourceType"]))

        def post(sent: Resource) -> Saved:
            if put:
                return self.client.update_where(sent, params)
            return self.client.create(sent, if_none_exist=condition)

        find = partial(self._first, resource, params)
        kept = self._create(resource, post, find, came, conditional=condition is not None)
        if not kept.made and not _carries(kept.resource, params):
            raise ServerBroken(
                "a conditional create was answered with another resource than the one asked for",
                where=str(resource["resourceType"]),
                remedy="Run `fhir-adapter server doctor --write`: the adapter then asks otherwise.",
            )
        return kept

    def add(self, resource: Resource, lookup: Lookup) -> Kept:
        """A create without an identifier to hold on to; ``lookup`` finds it if it arrived."""
        return self._create(resource, self.client.create, lookup, lambda: False, conditional=False)

    def update(self, resource: Resource, version: str) -> None:
        """With If-Match where the server keeps versions; WriteConflict says: read it again."""
        if not self.write:
            return
        if_match = version if self.choice.if_match else ""
        try:
            self.client.update(resource, if_match=if_match)
        except ServerFault as fault:
            if not _transient(fault):
                raise
            if not same_content(resource, self._again(resource) or {}):
                self.client.update(resource, if_match=if_match)
        _verify(resource, self._again(resource))

    def _again(self, resource: Resource) -> Resource | None:
        return self.client.read(str(resource["resourceType"]), str(resource["id"]))

    def _first(self, resource: Resource, params: Params) -> Resource | None:
        found = self.all(str(resource["resourceType"]), params)
        return found[0] if found else None

    def _create(
        self, resource: Resource, post: Post, lookup: Lookup, came: Came, *, conditional: bool
    ) -> Kept:
        sent = {name: value for name, value in resource.items() if name != "id"}
        if not self.write:
            return Kept(resource={**sent, "id": PLACEHOLDER}, made=True)
        try:
            saved = self._posted(sent, post, lookup, came)
        except WriteConflict:
            standing = lookup()
            if standing is None:
                raise
            return Kept(resource=standing, made=False)
        kept = _present(sent, self._read_back(sent, saved, lookup))
        raced = conditional and saved is not None and not saved.created
        if raced and not same_content(sent, kept):
            return Kept(resource=kept, made=False)
        _verify(sent, kept)
        return Kept(resource=kept, made=True)

    def _posted(self, sent: Resource, post: Post, lookup: Lookup, came: Came) -> Saved | None:
        """None where the answer was lost but the resource is there."""
        try:
            return post(sent)
        except ServerFault as fault:
            if not _transient(fault):
                raise
            if lookup():
                return None
            if came():  # somebody has deleted it already: the next run says so
                raise
        return post(sent)

    def _read_back(self, sent: Resource, saved: Saved | None, lookup: Lookup) -> Resource | None:
        if saved is None or not saved.id:
            return lookup()
        return self.client.read(str(sent["resourceType"]), saved.id)


def not_settled(versions: list[str]) -> AdapterError:
    """One version at each reading: nobody has changed it, so the conflict is the server's no."""
    where = "ResearchSubject"
    if versions[0] and len(set(versions)) == 1:
        said = "the server refuses the change as a conflict, though nobody has changed it"
        remedy = "A profile may demand more of it: run `fhir-adapter server doctor --write`."
        return ServerBroken(said, where=where, remedy=remedy)
    said = "it changed each time while it was being written"
    return WriteConflict(said, where=where, remedy="Run again.")


def _carries(resource: Resource, params: Params) -> bool:
    """Whether it has the identifier that was asked for, in any system; yes where none was."""
    wanted = str(params.get("identifier", "")).casefold()
    values = {escaped(value).casefold() for _, value in identifiers(resource)}
    return not wanted or any(wanted == one or wanted.endswith(f"|{one}") for one in values if one)


def _transient(fault: ServerFault) -> bool:
    """No answer, throttled, or 5xx other than 501: the same request may succeed."""
    if isinstance(fault, ServerUnreachable | ServerThrottled):
        return True
    status = status_of(fault)
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED


def _present(sent: Resource, read: Resource | None) -> Resource:
    if read is None:
        raise WriteUnverified(
            "it cannot be read back", where=str(sent["resourceType"]), remedy=_FORGOTTEN
        )
    return read


def _verify(sent: Resource, read: Resource | None) -> None:
    """WriteUnverified names the element that differs, never its value."""
    path = first_difference(sent, _present(sent, read))
    if path:
        raise WriteUnverified("read back other than sent", where=path, remedy=_READ_BACK)
