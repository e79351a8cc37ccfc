"""The log's tree equals RFC 9162's, by an independent implementation and by the RFC's own definition."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest
from pymerkle import InmemoryTree, verify_consistency, verify_inclusion
from pymerkle.proof import MerkleProof

from suanwang.trading.merkle import (
    EMPTY_ROOT,
    Edge,
    Key,
    consistency_ranges,
    continues,
    cover,
    folded,
    includes,
    inclusion_ranges,
    leaf_hash,
    node_hash,
)

SIZES = [*range(1, 36), 63, 64, 65, 100]
LEAVES = [f"leaf {number}".encode() for number in range(100)]


def mth(leaves: Sequence[bytes]) -> bytes:
    """The hash of a list, word by word as section 2.1.1 defines it."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(mth(leaves[:k]), mth(leaves[k:]))


def grown(size: int) -> tuple[Edge, Mapping[Key, bytes]]:
    hashes = [leaf_hash(leaf) for leaf in LEAVES[:size]]
    edge, made = Edge().grown(hashes)
    return edge, {**made, **{(0, index): value for index, value in enumerate(hashes)}}


def oracle(size: int) -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for leaf in LEAVES[:size]:
        tree.append_entry(leaf)
    return tree


def test_the_hash_of_nothing_is_the_hash_of_an_empty_text() -> None:
    assert Edge().root.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", SIZES)
def test_roots_and_proofs_are_those_of_pymerkle(size: int) -> None:
    edge, hashes = grown(size)
    tree = oracle(size)
    assert edge.root == tree.get_root(size) == mth(LEAVES[:size])
    for index in range(size):
        theirs: MerkleProof = tree.prove_inclusion(index + 1, size)
        ours = [folded(part, hashes) for part in inclusion_ranges(index, size)]
        assert sorted([*ours, leaf_hash(LEAVES[index])]) == sorted(theirs.path)
        assert includes(index=index, size=size, leaf=leaf_hash(LEAVES[index]), proof=ours, root=edge.root)
        verify_inclusion(leaf_hash(LEAVES[index]), edge.root, theirs)


def test_the_example_of_the_rfc() -> None:
    """Section 2.1.5: seven leaves a to f and j, with the nodes it names."""
    _, hashes = grown(7)

    def names(parts: Sequence[tuple[int, int]]) -> list[bytes]:
        return [folded(part, hashes) for part in parts]

    a, b, c, d, e, f, j = (hashes[0, at] for at in range(7))
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, l = node_hash(g, h), node_hash(i, j)  # noqa: E741 - the RFC's name
    assert names(inclusion_ranges(0, 7)) == [b, h, l]
    assert names(inclusion_ranges(3, 7)) == [c, g, l]
    assert names(inclusion_ranges(4, 7)) == [f, j, k]
    assert names(inclusion_ranges(6, 7)) == [i, k]
    assert names(consistency_ranges(3, 7)) == [c, d, g, l]
    assert names(consistency_ranges(4, 7)) == [l]
    assert names(consistency_ranges(6, 7)) == [i, j, k]


@pytest.mark.parametrize("size", SIZES)
def test_a_tree_continues_every_older_one_and_no_other(size: int) -> None:
    edge, hashes = grown(size)
    tree = oracle(size)
    for old in range(1, size + 1):
        proof = [folded(part, hashes) for part in consistency_ranges(old, size)]
        older = mth(LEAVES[:old])
        assert continues(old=old, old_root=older, size=size, root=edge.root, proof=proof)
        verify_consistency(older, edge.root, tree.prove_consistency(old, size))
        forged = mth([b"forged", *LEAVES[1:old]])
        assert not continues(old=old, old_root=forged, size=size, root=edge.root, proof=proof)
        assert not continues(old=old, old_root=older, size=size, root=forged, proof=proof)
        for at in range(len(proof)):
            wrong = [*proof[:at], leaf_hash(b"?"), *proof[at + 1 :]]
            assert not continues(old=old, old_root=older, size=size, root=edge.root, proof=wrong)
        assert not continues(old=old, old_root=older, size=size, root=edge.root, proof=[*proof, older])


def test_a_proof_fits_one_leaf_at_one_place() -> None:
    size = 21
    edge, hashes = grown(size)
    for index in range(size):
        proof = [folded(part, hashes) for part in inclusion_ranges(index, size)]
        leaf = leaf_hash(LEAVES[index])
        for place in range(-1, size + 2):
            fits = includes(index=place, size=size, leaf=leaf, proof=proof, root=edge.root)
            assert fits == (place == index)
        for wrong in (proof[:-1], [*proof, leaf], proof[::-1] if len(set(proof)) > 1 else []):
            assert not includes(index=index, size=size, leaf=leaf, proof=wrong, root=edge.root)


def test_growing_at_once_and_one_by_one_is_the_same() -> None:
    dice = random.Random(7)
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    edge, made, at = Edge(), dict[Key, bytes](), 0
    while at < len(hashes):
        step = dice.randint(0, 9)
        edge, fresh = edge.grown(hashes[at : at + step])
        assert not made.keys() & fresh.keys(), "a subtree is completed once"
        made.update(fresh)
        at = min(at + step, len(hashes))
    whole, every = Edge().grown(hashes)
    assert (edge, made) == (whole, every)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_ranges(index, size)
    with pytest.raises(ValueError, match="cannot continue"):
        consistency_ranges(size + 1, size)


def test_a_range_is_covered_from_left_to_right() -> None:
    assert cover((0, 7)) == ((2, 0), (1, 2), (0, 6))
    assert cover((4, 6)) == ((1, 2),)
    assert cover((3, 3)) == ()
