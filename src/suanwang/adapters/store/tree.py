# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""The log and its tree on PostgreSQL.

Owns how leaves are appended without a gap, which subtrees are kept, and checkpoints. Subtrees of 16 leaves and more are
kept; smaller ones are hashed again from their leaves, which costs less than a row each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from suanwang.adapters.store.codec import clean
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.record import copy_rows
from suanwang.domain.ids import JobId
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.leaves import seal_leaf
from suanwang.trading.merkle import Edge, Key, leaf_hash
from suanwang.trading.published import Name, Published

KEPT_LEVEL = 4
_HASH_BYTES = 32
_CHECKPOINT = "size, root, at, key, signature"


def append_leaves(connection: Connection, leaves: Sequence[str]) -> int:
    """Append within the caller's transaction, after every other lock; returns the first leaf's number."""
    edge = _edge(connection, " FOR UPDATE")
    if not leaves:
        return edge.size
    hashes = [leaf_hash(leaf.encode()) for leaf in leaves]
    grown, made = edge.grown(hashes)
    copy_rows(
        connection,
        "COPY ledger_log (leaf, data, hash) FROM STDIN",
        ((edge.size + at, leaf, value) for at, (leaf, value) in enumerate(zip(leaves, hashes, strict=True))),
    )
    kept = [(level, index, value) for (level, index), value in made.items() if level >= KEPT_LEVEL]
    if kept:
        copy_rows(connection, 'COPY ledger_nodes (level, "index", hash) FROM STDIN', kept)
    connection.execute("UPDATE ledger_tree SET size = %s, peaks = %s WHERE id = 1", (grown.size, b"".join(grown.peaks)))
    return edge.size


def publish(connection: Connection, published: Sequence[Published]) -> None:
    """Append what a site says of its prices, within the caller's transaction, after every other lock."""
    if not published:
        return
    first = append_leaves(connection, [each.leaf for each in published])
    rows = [(clean(each.kind), clean(each.name), each.sha256, first + at) for at, each in enumerate(published)]
    copy_rows(connection, "COPY ledger_seals (kind, name, sha256, leaf) FROM STDIN", rows)


class Tree:
    """The Protocol's log."""

    _database: Database

    def usage_leaves(self, job_id: JobId) -> Sequence[int]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT coalesce(s.leaf, o.leaf) AS leaf FROM usage_records u "
                "LEFT JOIN settled_lines s ON s.usage_id = u.id LEFT JOIN unsettled_lines o ON o.usage_id = u.id "
                "WHERE u.job_id = %s AND coalesce(s.leaf, o.leaf) IS NOT NULL ORDER BY leaf",
                (job_id,),
            ).fetchall()
        return [row[0] for row in rows]

    def seal(self, kind: str, name: str, sha256: str) -> int:
        names = (clean(kind), clean(name), sha256)

        def work(connection: Connection) -> int:
            # The edge's lock orders those who seal the same at once.
            _edge(connection, " FOR UPDATE")
            row = connection.execute(
                "SELECT leaf FROM ledger_seals WHERE kind = %s AND name = %s AND sha256 = %s", names
            ).fetchone()
            if row is not None:
                return int(row[0])
            leaf = append_leaves(connection, [seal_leaf(*names)])
            connection.execute(
                "INSERT INTO ledger_seals (kind, name, sha256, leaf) VALUES (%s, %s, %s, %s)", (*names, leaf)
            )
            return leaf

        return self._database.write(work)

    def published(self, names: Collection[Name]) -> Mapping[Name, int]:
        wanted = sorted(names)
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT s.kind, s.name, min(s.leaf) FROM unnest(%s::text[], %s::text[]) AS w(kind, name) "
                "JOIN ledger_seals s ON s.kind = w.kind AND s.name = w.name GROUP BY s.kind, s.name",
                ([kind for kind, _ in wanted], [name for _, name in wanted]),
            ).fetchall()
        return {(row[0], row[1]): row[2] for row in rows}

    def leaves(self, indexes: Collection[int]) -> Mapping[int, str]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT leaf, data FROM ledger_log WHERE leaf = ANY(%s)", (sorted(indexes),)
            ).fetchall()
        return {row[0]: row[1] for row in rows}

    def edge(self) -> Edge:
        with self._database.reading() as connection:
            return _edge(connection)

    def hashes(self, keys: Collection[Key]) -> Mapping[Key, bytes]:
        kept = sorted(key for key in keys if key[0] >= KEPT_LEVEL)
        small = [key for key in keys if key[0] < KEPT_LEVEL]
        needed = sorted({leaf for level, index in small for leaf in range(index << level, (index + 1) << level)})
        with self._database.reading() as connection:
            nodes = connection.execute(
                'SELECT n.level, n."index", n.hash FROM unnest(%s::int[], %s::bigint[]) AS k(level, "index") '
                'JOIN ledger_nodes n ON n.level = k.level AND n."index" = k."index"',
                ([level for level, _ in kept], [index for _, index in kept]),
            ).fetchall()
            leaves = connection.execute("SELECT leaf, hash FROM ledger_log WHERE leaf = ANY(%s)", (needed,)).fetchall()
        found: dict[Key, bytes] = {(row[0], row[1]): bytes(row[2]) for row in nodes}
        at = {row[0]: bytes(row[1]) for row in leaves}
        for level, index in small:
            _, inner = Edge().grown([at[leaf] for leaf in range(index << level, (index + 1) << level)])
            found[level, index] = inner[level, 0] if level else at[index]
        return found

    def add_checkpoint(self, checkpoint: Checkpoint) -> Checkpoint:
        def work(connection: Connection) -> Checkpoint:
            connection.execute(
                f"INSERT INTO ledger_checkpoints ({_CHECKPOINT}) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (checkpoint.size, checkpoint.root, checkpoint.at, checkpoint.key, checkpoint.signature),
            )
            row = connection.execute(
                f"SELECT {_CHECKPOINT} FROM ledger_checkpoints WHERE size = %s", (checkpoint.size,)
            ).fetchone()
            assert row is not None, "it was inserted, now or earlier"
            return Checkpoint(size=row[0], root=row[1], at=row[2], key=row[3], signature=row[4])

        return self._database.write(work)

    def checkpoint(self, size: int | None = None) -> Checkpoint | None:
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {_CHECKPOINT} FROM ledger_checkpoints WHERE %s::bigint IS NULL OR size = %s "
                "ORDER BY size DESC LIMIT 1",
                (size, size),
            ).fetchone()
        return None if row is None else Checkpoint(size=row[0], root=row[1], at=row[2], key=row[3], signature=row[4])


def _edge(connection: Connection, lock: str = "") -> Edge:
    row = connection.execute(f"SELECT size, peaks FROM ledger_tree WHERE id = 1{lock}").fetchone()
    assert row is not None, "the migrations fill ledger_tree"
    packed = bytes(row[1])
    peaks = tuple(packed[at : at + _HASH_BYTES] for at in range(0, len(packed), _HASH_BYTES))
    return Edge(size=row[0], peaks=peaks)
