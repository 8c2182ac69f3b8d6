"""Pieces of an export on disk: appended in compressed blocks, one file per bucket.

A block is two lengths (compressed, plain; little-endian 32 bits) and a zstd frame of the pieces in
MessagePack. Memory is one open block per bucket, whatever the size of the export.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from fhir_adapter.errors import StoreMissing
from fhir_adapter.ports import Piece
from fhir_adapter.warehouse.arrow import pa

_LENGTHS = struct.Struct("<II")
_BLOCK = 1 << 17
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Piece])


class PieceWriter:
    """Appends pieces to one file."""

    def __init__(self, path: Path, block: int = _BLOCK) -> None:
        self._path = path
        self._block = block
        self._waiting: list[Piece] = []
        self._size = 0
        self.bytes: int = 0
        """How many bytes of resources were taken."""

    def add(self, piece: Piece) -> None:
        """Take one piece; written when a block is full."""
        self._waiting.append(piece)
        size = len(piece.body)
        self.bytes += size
        self._size += size + 64
        if self._size >= self._block:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        plain = _ENCODER.encode(self._waiting)
        packed = pa.Codec("zstd", compression_level=1).compress(plain, asbytes=True)
        with self._path.open("ab") as stream:
            stream.write(_LENGTHS.pack(len(packed), len(plain)) + packed)
        self._waiting, self._size = [], 0


def read_pieces(path: Path) -> Iterator[Piece]:
    """The pieces of a file in the order of writing; none where there is no file."""
    if not path.exists():
        return
    codec = pa.Codec("zstd")
    with path.open("rb") as stream:
        while head := stream.read(_LENGTHS.size):
            yield from _block(stream, head, codec)


def _block(stream: IO[bytes], head: bytes, codec: Any) -> list[Piece]:
    try:
        packed, plain = _LENGTHS.unpack(head)
        data = codec.decompress(stream.read(packed), decompressed_size=plain, asbytes=True)
        return _DECODER.decode(data)
    except (OSError, ValueError, struct.error):  # DecodeError and ArrowInvalid are ValueErrors
        raise StoreMissing(
            "the stored resources of a bucket are broken",
            where="store",
            remedy="Load the whole export again.",
        ) from None


def write_pieces(path: Path, pieces: Iterable[Piece]) -> None:
    """A file of these pieces and no others."""
    path.write_bytes(b"")
    writer = PieceWriter(path)
    for piece in pieces:
        writer.add(piece)
    writer.flush()
