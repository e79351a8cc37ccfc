"""Leaves of the log as files hold them: with their proofs, and with the checkpoint that they lead to.

Owns that form and its reading. Everything read is distrusted: what is not written canonically is refused, for what is not read
would not be checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from suanwang.domain.errors import InvalidRequest
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.leaves import canonical, instant, transfer_leaf
from suanwang.trading.ledger import AccountId, Phase, Transfer
from suanwang.trading.strict import count, exactly, hash_of, hashes, instant_of, mapping, text

_TRANSFER = (
    *("kind", "id", "chain", "phase", "debit", "credit", "amount_fen", "code", "pending_id", "timeout_at", "at"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A leaf of the log and its audit path, deepest first."""

    index: int
    leaf: str
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """What shows that the log of the bill's checkpoint begins with an older one."""

    size: int
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """A transfer leaf, read."""

    proven: Proven
    transfer: Transfer
    at: datetime


def checkpoint_document(checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "size": checkpoint.size,
        "root": checkpoint.root,
        "at": instant(checkpoint.at),
        "key": checkpoint.key,
        "signature": checkpoint.signature,
    }


def read_checkpoint(value: object) -> Checkpoint:
    """A checkpoint from `checkpoint_document`. Raises `InvalidRequest`."""
    try:
        return checkpoint_of(value)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidRequest(f"this is no checkpoint: {error}", field="checkpoint") from None


def consistency_document(consistency: Consistency | None) -> dict[str, object] | None:
    if consistency is None:
        return None
    return {"size": consistency.size, "proof": [step.hex() for step in consistency.proof]}


def consistency_of(value: object) -> Consistency | None:
    if value is None:
        return None
    part = exactly(value, "size", "proof")
    return Consistency(size=count(part["size"]), proof=hashes(part["proof"]))


def paid_of(value: object) -> Paid:
    proven, leaf = proven_of(value, "transfer", _TRANSFER)
    pending, timeout = leaf["pending_id"], leaf["timeout_at"]
    transfer = Transfer(
        id=text(leaf["id"]),
        chain=text(leaf["chain"]),
        debit=AccountId(text(leaf["debit"])),
        credit=AccountId(text(leaf["credit"])),
        amount_fen=count(leaf["amount_fen"]),
        code=text(leaf["code"]),
        phase=Phase(text(leaf["phase"])),
        pending_id=None if pending is None else text(pending),
        timeout_at=None if timeout is None else instant_of(timeout),
    )
    read = Paid(proven=proven, transfer=transfer, at=instant_of(leaf["at"]))
    if transfer_leaf(transfer, read.at) != proven.leaf:
        raise ValueError(f"transfer {transfer.id} is not written canonically")
    return read


def proven_of(
    value: object, kind: str, fields: Sequence[str], may: Sequence[str] = ()
) -> tuple[Proven, Mapping[str, Any]]:
    top = exactly(value, "index", "leaf", "proof")
    leaf = exactly(top["leaf"], *fields, *(name for name in may if name in mapping(top["leaf"])))
    if leaf["kind"] != kind:
        raise ValueError(f"a leaf of kind {kind} is wanted")
    return Proven(index=count(top["index"]), leaf=canonical(leaf), proof=hashes(top["proof"])), leaf


def shown(each: Proven) -> dict[str, object]:
    return {"index": each.index, "leaf": content(each.leaf), "proof": [step.hex() for step in each.proof]}


def content(leaf: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(leaf)
    return value


def checkpoint_of(value: object) -> Checkpoint:
    found = exactly(value, "size", "root", "at", "key", "signature")
    read = Checkpoint(
        size=count(found["size"]),
        root=hash_of(found["root"]),
        at=instant_of(found["at"]),
        key=hash_of(found["key"]),
        signature=text(found["signature"]),
    )
    if instant(read.at) != found["at"] or not re.fullmatch(r"[0-9a-f]{128}", read.signature):
        raise ValueError("the checkpoint is not written canonically")
    return read
