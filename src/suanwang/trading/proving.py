"""What every file of evidence is held to: its leaves are in a log that is signed, and that continues an older one.

Owns those checks and the words for what fails. Needs no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from suanwang.domain.errors import InvalidRequest
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.merkle import continues, includes, leaf_hash
from suanwang.trading.proven import Consistency, Proven

UNREADABLE = (ValueError, TypeError, KeyError, ArithmeticError, InvalidRequest)
"""What reading a file that nobody wrote for us may raise."""


class Check(StrEnum):
    FORMAT = "format"
    RECORDS = "records"
    """Numbered without a gap, of one job, in order, never overlapping."""
    RATING = "rating"
    PRICES = "prices"
    """Unit prices are those that the site had published before the run."""
    AMOUNT = "amount"
    SPLIT = "split"
    TRANSFERS = "transfers"
    SEAL = "seal"
    """The log has what the document hashes to."""
    DOCUMENT = "document"
    """What the document says agrees with itself."""
    INCLUSION = "inclusion"
    SIGNATURE = "signature"
    KEY = "key"
    CONSISTENCY = "consistency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    check: Check
    where: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the check came to. `trusted` is False where no key of the caller's was given to hold the signature against."""

    failures: tuple[Failure, ...]
    kind: str = "bill"
    name: str = ""
    """The job of a bill, else what the paper is called."""
    amount_fen: int = 0
    lines: int = 0
    """Usage records of a bill; transfers of another paper."""
    voucher_fen: int = 0
    """What vouchers paid of it."""
    unsettled: tuple[str, ...] = ()
    """Records whose amount no transfer has paid at the checkpoint."""
    priced: int = 0
    """Records whose unit prices follow from what their sites had published, which `sources` names."""
    sources: tuple[str, ...] = ()
    unproved: tuple[str, ...] = ()
    """What of the prices the file cannot show."""
    checkpoint: Checkpoint | None = None
    trusted: bool = False

    @property
    def holds(self) -> bool:
        return not self.failures


def inclusion(named: Sequence[tuple[str, Proven]], checkpoint: Checkpoint) -> list[Failure]:
    """Whether each named leaf is in the log that the checkpoint signs."""
    root, size = bytes.fromhex(checkpoint.root), checkpoint.size
    return [
        failure(Check.INCLUSION, where, f"it is not leaf {proven.index} of the log that the checkpoint signs")
        for where, proven in named
        if not includes(
            index=proven.index, size=size, leaf=leaf_hash(proven.leaf.encode()), proof=proven.proof, root=root
        )
    ]


def signature(checkpoint: Checkpoint, key: str | None, older: Checkpoint | None) -> list[Failure]:
    """Whether it is signed by its key, and that key by the one the reader knows."""
    failures: list[Failure] = []
    if not checkpoint.holds():
        failures.append(failure(Check.SIGNATURE, "checkpoint", "its signature is not by its key"))
    if key is not None and key.strip().lower() != checkpoint.key:
        failures.append(failure(Check.KEY, "checkpoint", f"its key is {checkpoint.key}, not the one given"))
    if older is not None and not older.holds():
        failures.append(failure(Check.SIGNATURE, "older checkpoint", "its signature is not by its key"))
    if older is not None and older.key != checkpoint.key:
        failures.append(failure(Check.KEY, "older checkpoint", "it is signed with another key than the file's"))
    return failures


def continuity(given: Consistency | None, new: Checkpoint, older: Checkpoint | None) -> list[Failure]:
    """Whether the log continues that of the checkpoint which the reader kept."""
    if older is None:
        if given is None:
            return []
        message = f"the proof from size {given.size} needs that older checkpoint: give it"
        return [failure(Check.CONSISTENCY, "consistency", message)]
    if older.size > new.size:
        message = f"the older checkpoint has {older.size} leaves, the file's only {new.size}: fetch the file again"
        return [failure(Check.CONSISTENCY, "checkpoint", message)]
    if older.size == 0:
        return []
    proof = given.proof if given is not None and given.size == older.size else ()
    if given is not None and given.size != older.size:
        message = f"its proof is from size {given.size}, the older checkpoint has {older.size}"
        return [failure(Check.CONSISTENCY, "consistency", message)]
    if given is None and older.size != new.size:
        message = f"the file has no proof from size {older.size}: fetch it with `--since`"
        return [failure(Check.CONSISTENCY, "consistency", message)]
    if continues(
        old=older.size, old_root=bytes.fromhex(older.root), size=new.size, root=bytes.fromhex(new.root), proof=proof
    ):
        return []
    return [failure(Check.CONSISTENCY, "checkpoint", "the log does not continue that of the older checkpoint")]


def failure(check: Check, where: str, message: str) -> Failure:
    return Failure(check=check, where=where, message=message)


def unread(where: str, error: Exception) -> Finding:
    return Finding(failures=(failure(Check.FORMAT, where, str(error)[:300] or type(error).__name__),))
