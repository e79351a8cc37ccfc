"""What the network can prove of its ledger: signed checkpoints, proofs, and a job's bill as evidence.

Owns how proofs are put together from the log, and who may ask for which bill. A proof holds hashes alone and gives nothing
away, so every known caller may have one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import orjson

from suanwang.control.billing.prices import log_declared
from suanwang.control.rules import Rules
from suanwang.domain.errors import InvalidRequest, NotFound, Unavailable
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import AllocationId, JobId
from suanwang.ports import BillQuery, Clock, Signer, Store
from suanwang.trading.billfile import document
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.holding import first_holds
from suanwang.trading.ledger import Owner, Phase, account_id
from suanwang.trading.merkle import Range, consistency_ranges, cover, folded, inclusion_ranges
from suanwang.trading.proven import Consistency, Proven
from suanwang.trading.published import names_in
from suanwang.trading.settlement import chain_name

_NOTHING = "nothing of this job is in the ledger yet: ask again when it has run and was billed"


class Proofs:
    def __init__(self, store: Store, clock: Clock, rules: Rules, signer: Signer | None) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules
        self._signer = signer

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        """The log as it is now, signed; or the checkpoint that was made at `size`. Raises `NotFound`, `Unavailable`."""
        if size is not None:
            found = self._store.checkpoint(size)
            if found is None:
                raise NotFound(f"no checkpoint was made at size {size}", field="size", allowed="one you were given")
            return found
        edge = self._store.edge()
        made = self._store.checkpoint(edge.size)
        if made is not None:
            return made
        if self._signer is None:
            raise Unavailable("this network has no signing key: give it one and restart it")
        checkpoint = Checkpoint(size=edge.size, root=edge.root.hex(), at=self._clock.now(), key=self._signer.key)
        return self._store.add_checkpoint(replace(checkpoint, signature=self._signer.sign(checkpoint.signed)))

    def keep_up(self) -> None:
        """The loop's part: a checkpoint now and then, while the log grows."""
        if self._signer is None:
            return
        newest = self._store.checkpoint()
        now = self._clock.now()
        if newest is None or now - newest.at >= timedelta(seconds=self._rules.checkpoint_every_s):
            log_declared(self._store, now)
            self.checkpoint()

    def inclusion(self, index: int, size: int | None = None) -> tuple[Checkpoint, Sequence[bytes]]:
        """What proves that leaf `index` is in the log of `size` leaves, with that log's checkpoint."""
        checkpoint = self.checkpoint(size)
        if not 0 <= index < checkpoint.size:
            raise InvalidRequest(
                f"the log has no leaf {index}", field="index", allowed=f"0 to {max(checkpoint.size - 1, 0)}"
            )
        return checkpoint, self._folded({index: inclusion_ranges(index, checkpoint.size)})[index]

    def consistency(self, old: int, size: int | None = None) -> tuple[Checkpoint, Sequence[bytes]]:
        """What proves that the log of `size` leaves begins with that of `old`, with the newer checkpoint."""
        checkpoint = self.checkpoint(size)
        if not 0 < old <= checkpoint.size:
            raise InvalidRequest(
                f"the log of {checkpoint.size} leaves has none of {old} before it",
                field="from_size",
                allowed=f"1 to {checkpoint.size}",
            )
        return checkpoint, self._folded({0: consistency_ranges(old, checkpoint.size)})[0]

    def evidence(self, caller: Principal, job_id: JobId, since: int | None = None) -> dict[str, object]:
        """A job's bill that proves itself; with `since`, also that the log continues that of `since` leaves."""
        self._check_seen(caller, job_id)
        indexes = self._store.usage_leaves(job_id)
        records = [record.id for record in self._store.usage_records(job_id)]
        entries = self._store.chain_entries([chain_name(usage_id) for usage_id in records])
        usage = [orjson.loads(text) for text in self._store.leaves(indexes).values()]
        said = sorted(self._store.published(names_in(usage)).values())
        runs = {AllocationId(leaf["allocation"]) for leaf in usage if "bound" in leaf}
        holds = self._store.chain_entries({name for run in runs for name in first_holds(run)})
        leases = [entry.leaf for entry in holds if entry.transfer.phase is Phase.PENDING]
        proven, checkpoint, consistency = self.proven(
            [*indexes, *(entry.leaf for entry in entries), *said, *leases], since
        )
        return document(
            job_id,
            [proven[index] for index in indexes],
            [proven[entry.leaf] for entry in entries],
            [proven[leaf] for leaf in said],
            [proven[leaf] for leaf in leases],
            checkpoint,
            consistency,
        )

    def proven(
        self, indexes: Collection[int], since: int | None
    ) -> tuple[Mapping[int, Proven], Checkpoint, Consistency | None]:
        """These leaves with their proofs in the log as it is now, its checkpoint, and that it continues the one of `since`."""
        texts = self._store.leaves(indexes)
        checkpoint = self.checkpoint()
        paths = self._folded({index: inclusion_ranges(index, checkpoint.size) for index in texts})
        found = {index: Proven(index=index, leaf=texts[index], proof=paths[index]) for index in texts}
        if not since:
            return found, checkpoint, None
        _, proof = self.consistency(since, checkpoint.size)
        return found, checkpoint, Consistency(size=since, proof=tuple(proof))

    def _check_seen(self, caller: Principal, job_id: JobId) -> None:
        """Raises `NotFound` where the caller may not see the whole bill, or where there is none."""
        lines, _ = self._store.bill_lines(BillQuery(job_id=job_id), None, 1)
        seen = bool(lines) and caller.may_see(lines[0].project)
        if lines and caller.role is Role.PROVIDER and caller.provider is not None:
            totals = self._store.bill_totals(BillQuery(job_id=job_id))
            seen = all(total.provider == caller.provider for total in totals) or self._shares(job_id, caller.provider)
        if not seen or not self._store.usage_leaves(job_id):
            raise NotFound(_NOTHING, field="job", allowed="a job of yours that was billed")

    def _shares(self, job_id: JobId, provider: str) -> bool:
        """Whether every record of the job names this co-owner."""
        own = account_id(Owner.PROVIDER, provider)
        texts = self._store.leaves(self._store.usage_leaves(job_id)).values()
        return all(own in (account for account, _ in orjson.loads(text)["parties"]) for text in texts)

    def _folded(self, ranges: Mapping[int, Sequence[Range]]) -> dict[int, tuple[bytes, ...]]:
        """The hashes of each proof's ranges, fetched at once."""
        every = {part for parts in ranges.values() for part in parts}
        hashes = self._store.hashes({key for part in every for key in cover(part)})
        value = {part: folded(part, hashes) for part in every}
        return {name: tuple(value[part] for part in parts) for name, parts in ranges.items()}
