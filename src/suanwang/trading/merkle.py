"""The log's tree: hashes, roots and proofs of RFC 9162, section 2.1.

Owns the arithmetic of a growing Merkle tree over any store of its perfect subtrees. A subtree is named (level, index): it
covers leaves `index << level` to `(index + 1) << level`. What a proof needs is named first and hashed afterwards, so a
store can fetch it at once. Knows nothing of what a leaf says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

Key: TypeAlias = tuple[int, int]
"""(level, index) of a perfect subtree; level 0 is a leaf."""
Range: TypeAlias = tuple[int, int]
"""Leaves from the first to before the second, that one of the RFC's subtrees covers."""

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def cover(part: Range) -> tuple[Key, ...]:
    """The perfect subtrees that make up `part`, from left to right; `part` begins where one of its own size may."""
    begin, end = part
    found: list[Key] = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        found.append((level, begin >> level))
        begin += 1 << level
    return tuple(found)


def folded(part: Range, hashes: Mapping[Key, bytes]) -> bytes:
    """The hash of `part`, RFC 9162's MTH, from those of its perfect subtrees."""
    keys = cover(part)
    if not keys:
        return EMPTY_ROOT
    value = hashes[keys[-1]]
    for key in reversed(keys[:-1]):
        value = node_hash(hashes[key], value)
    return value


def inclusion_ranges(index: int, size: int) -> tuple[Range, ...]:
    """What proves that leaf `index` is in the tree of `size` leaves, deepest first (2.1.3.1). Raises `ValueError`."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    begin, end = 0, size
    ranges: list[Range] = []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    return tuple(reversed(ranges))


def consistency_ranges(old: int, size: int) -> tuple[Range, ...]:
    """What proves that the tree of `size` leaves begins with the tree of `old` (2.1.4.1). Raises `ValueError`."""
    if not 0 < old <= size:
        raise ValueError(f"a tree of {size} leaves cannot continue one of {old}")
    begin, end = 0, size
    ranges: list[Range] = []
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    if begin:
        ranges.append((begin, end))
    return tuple(reversed(ranges))


def _split(count: int) -> int:
    """The largest power of two smaller than `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def includes(*, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows the leaf hash at `index` of the tree (2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, value = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            value = node_hash(step, value)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            value = node_hash(value, step)
        at, last = at >> 1, last >> 1
    return last == 0 and value == root


def continues(*, old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree of `size` leaves begins with the older one (2.1.4.2)."""
    if old == size:
        return not proof and old_root == root
    if not 0 < old < size or not proof:
        return False
    steps = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, after = node_hash(step, before), node_hash(step, after)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            after = node_hash(after, step)
        at, last = at >> 1, last >> 1
    return last == 0 and before == old_root and after == root


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """All that a tree must keep to grow: its size, and the hashes of `cover((0, size))`."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        return folded((0, self.size), dict(zip(cover((0, self.size)), self.peaks, strict=True)))

    def grown(self, leaves: Sequence[bytes]) -> tuple[Edge, Mapping[Key, bytes]]:
        """The edge after these leaf hashes, and every perfect subtree above the leaves that they completed."""
        open_at = {level: peak for (level, _), peak in zip(cover((0, self.size)), self.peaks, strict=True)}
        made: dict[Key, bytes] = {}
        for number, value in enumerate(leaves, self.size):
            level = 0
            while number >> level & 1:
                value = node_hash(open_at.pop(level), value)
                level += 1
                made[level, number >> level] = value
            open_at[level] = value
        size = self.size + len(leaves)
        return Edge(size=size, peaks=tuple(open_at[level] for level, _ in cover((0, size)))), made
