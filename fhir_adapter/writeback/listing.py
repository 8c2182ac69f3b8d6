"""The screening List of a study: what stands proposed, in one resource that an EHR can show.

FHIR R4 List (mode ``working``, one per installation and study). Only plain entries of ours come and
go. What a person has added, flagged, struck out or taken away stays so, and a List that a person
closed or deleted is not touched again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from fhir_adapter.errors import WriteConflict
from fhir_adapter.fhir.reading import parts
from fhir_adapter.ports import Resource
from fhir_adapter.writeback.sending import Sender, key_params
from fhir_adapter.writeback.standing import reference_of, target_of, version_of

_PLAIN = frozenset(("id", "item", "date"))
"""Elements of an entry that we write, and ``id``, which a server may add."""
_TRIES = 2


class ListMemory(Protocol):
    """Keeps one text per name; the ledger's cursors are such a memory."""

    def cursor(self, name: str) -> str | None:
        """The text; None before the first."""
        ...

    def set_cursor(self, name: str, value: str) -> None:
        """Keep this one instead."""
        ...


class Kept(msgspec.Struct, frozen=True):
    """What we know of a List from the last time."""

    reference: str = ""
    """List/<id>; empty before it was seen to stand."""
    shown: tuple[str, ...] = ()
    """What we had put on it and saw standing."""
    begun: tuple[str, ...] = ()
    """What we were about to put on it: a run that was killed may or may not have."""
    struck: tuple[str, ...] = ()
    """What people have taken off it: never put on again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What came of it."""

    entries: int = 0
    """How many proposals of ours stand on it."""
    changed: bool = False
    note: str = ""
    """Why it was left alone; empty where it was not."""


_DECODER = msgspec.json.Decoder(Kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One List on one server. Two processes that write it at once are held apart by If-Match."""

    sender: Sender
    memory: ListMemory
    head: Resource
    """The List without entries; its only identifier says whose and of which study it is."""

    @property
    def known(self) -> Kept:
        """From the last time; empty before the first."""
        text = self.memory.cursor(self._name)
        return Kept() if text is None else _DECODER.decode(text)

    @property
    def _name(self) -> str:
        return f"list:{self.head['identifier'][0]['value']}"

    def is_due(self, proposed: Iterable[str]) -> bool:
        """Whether something was proposed or taken back since: nothing is asked of the server."""
        known = self.known
        return set(proposed) - set(known.struck) != set(known.shown) or bool(known.begun)

    def show(self, proposed: Sequence[str], *, now: str) -> Listed:
        """Bring the List up to ``proposed`` (``Type/id``, in the order of the entries)."""
        for _ in range(_TRIES):
            try:
                return self._show(proposed, now)
            except WriteConflict:
                continue
        return Listed(note="somebody changed it at the same time; the next run sees to it")

    def _show(self, proposed: Sequence[str], now: str) -> Listed:
        known = self.known
        standing = self._standing(known)
        if standing is None:
            return self._make(known, proposed, now)
        if standing.get("status") != "current" or standing.get("mode") != "working":
            return Listed(note="somebody closed it; it is left as it is")
        here = {target_of(entry.get("item")) for entry in parts(standing.get("entry"))}
        ours = {*known.shown, *(here & {*known.begun, *proposed})}
        struck = {*known.struck, *(set(known.shown) - here)}
        wanted = [one for one in proposed if one not in struck]
        new = [one for one in wanted if one not in here]
        entries = [
            *(e for e in parts(standing.get("entry")) if not _is_over(e, ours, wanted)),
            *_entries(new, now),
        ]
        changed = entries != parts(standing.get("entry"))
        if changed:
            self._keep(known, reference=reference_of(standing), begun=new, struck=struck)
            self.sender.update(_with(standing, entries, now), version_of(standing))
        shown = [target_of(entry["item"]) for entry in entries if "item" in entry]
        shown = [one for one in shown if one in ours or one in new]
        self._keep(known, reference=reference_of(standing), shown=shown, struck=struck)
        return Listed(entries=len(shown), changed=changed)

    def _standing(self, known: Kept) -> Resource | None:
        """Read by its id where that is known: a search may lag behind."""
        if known.reference:
            return self.sender.client.read("List", known.reference.partition("/")[2])
        found = self.sender.all("List", key_params(self.head))
        return found[0] if found else None

    def _make(self, known: Kept, proposed: Sequence[str], now: str) -> Listed:
        if known.reference:
            return Listed(note="somebody deleted it; it is not made again")
        if not proposed:
            return Listed()
        self._keep(known, begun=proposed)
        made = self.sender.create(
            _with(self.head, _entries(proposed, now), now), key_params(self.head)
        )
        if not made.made:  # another run made it in between: its entries are looked at first
            return self._show(proposed, now)
        self._keep(known, reference=reference_of(made.resource), shown=proposed)
        return Listed(entries=len(proposed), changed=True)

    def _keep(
        self,
        known: Kept,
        *,
        reference: str = "",
        shown: Sequence[str] | None = None,
        begun: Sequence[str] = (),
        struck: Iterable[str] = (),
    ) -> None:
        kept = Kept(
            reference=reference,
            shown=known.shown if shown is None else tuple(shown),
            begun=tuple(begun),
            struck=tuple(sorted({*known.struck, *struck})),
        )
        self.memory.set_cursor(self._name, msgspec.json.encode(kept).decode())


def _entries(references: Iterable[str], now: str) -> list[Resource]:
    return [{"date": now, "item": {"reference": one}} for one in references]


def _is_over(entry: Resource, ours: set[str], wanted: Sequence[str]) -> bool:
    """Ours, no longer proposed, and as we wrote it: an entry that a person marked stays."""
    target = target_of(entry.get("item"))
    return target in ours and target not in wanted and entry.keys() <= _PLAIN


def _with(resource: Resource, entries: list[Resource], now: str) -> Resource:
    """FHIR has no empty arrays: without entries the element is left out."""
    rest = {name: value for name, value in resource.items() if name not in {"entry", "date"}}
    return {**rest, "date": now, **({"entry": entries} if entries else {})}
