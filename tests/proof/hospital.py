"""What the world needs of a hospital: a store that people write to, and the machine's way there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from proof.in_process import NearProxy

Version = tuple[str, str, str]
"""Type, id, version."""


class Kept(Protocol):
    """A resource as the server keeps it."""

    @property
    def resource(self) -> Any: ...


class Store(Protocol):
    """What people do, past every fault."""

    def put(self, resource: Any) -> Kept: ...

    def create(self, resource: Any) -> Kept: ...

    def delete(self, resource_type: str, resource_id: str) -> None: ...

    def get(self, resource_type: str, resource_id: str) -> Kept: ...

    def has(self, resource_type: str, resource_id: str) -> bool: ...

    def all_of(self, resource_type: str) -> Iterator[Any]: ...


class Hospital(Protocol):
    """One server: the sandbox in this process, or one of others."""

    @property
    def store(self) -> Store: ...

    @property
    def proxy(self) -> NearProxy: ...

    @property
    def began(self) -> datetime:
        """Where the world's clock begins: not after the server's."""

    @property
    def tells_history(self) -> bool:
        """Whether it tells of what was created and deleted again (``history-type``)."""

    def versions(self, kinds: Iterable[str]) -> frozenset[Version]:
        """Everything of these types; writing anything changes it."""

    def close(self) -> None:
        """Leaves the server as it was found."""
