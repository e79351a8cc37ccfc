"""What the evidence of a paper holds, and its reading: invoices, statements, orders, vouchers, credits, accounts.

Owns the form: the document itself, the leaf of the log that seals it, and the transfers that it speaks of, each with its proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.grouping import PaperKind
from suanwang.trading.invoicing import encoded
from suanwang.trading.leaves import seal_leaf
from suanwang.trading.ledger import CURRENCY
from suanwang.trading.proven import (
    Consistency,
    Paid,
    Proven,
    checkpoint_document,
    checkpoint_of,
    consistency_document,
    consistency_of,
    paid_of,
    proven_of,
    shown,
)
from suanwang.trading.strict import exactly, hash_of, listed, mapping, text

FORMAT = "suanwang-evidence/1"


def digest(document: Mapping[str, object]) -> str:
    """SHA-256 of a document as the network writes it: keys sorted, two spaces deep, a newline at the end."""
    return sha256(encoded(document)).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """`sealed` is the hash that the log has for a paper of this kind and name."""

    kind: PaperKind
    name: str
    document: Mapping[str, Any]
    seal: Proven
    sealed: str
    transfers: tuple[Paid, ...]
    checkpoint: Checkpoint
    consistency: Consistency | None

    @classmethod
    def read(cls, value: object) -> Paper:
        top = exactly(
            value,
            *("format", "kind", "name", "currency", "document", "seal", "transfers", "checkpoint", "consistency"),
        )
        if top["format"] != FORMAT or top["currency"] != CURRENCY:
            raise ValueError(f"the format is {FORMAT} and the currency {CURRENCY}")
        kind, name = PaperKind(text(top["kind"])), text(top["name"])
        seal, leaf = proven_of(top["seal"], "seal", ("kind", "of", "name", "sha256"))
        if seal_leaf(kind, name, hash_of(leaf["sha256"])) != seal.leaf:
            raise ValueError(f"the seal is not one of {kind} {name}")
        return cls(
            kind=kind,
            name=name,
            document=mapping(top["document"]),
            seal=seal,
            sealed=leaf["sha256"],
            transfers=tuple(paid_of(each) for each in listed(top["transfers"])),
            checkpoint=checkpoint_of(top["checkpoint"]),
            consistency=consistency_of(top["consistency"]),
        )


def paper_document(
    kind: PaperKind,
    name: str,
    document: Mapping[str, object],
    seal: Proven,
    transfers: Sequence[Proven],
    checkpoint: Checkpoint,
    consistency: Consistency | None,
) -> dict[str, object]:
    """The evidence as plain JSON values; `transfers` in the order of the log."""
    return {
        "format": FORMAT,
        "kind": kind.value,
        "name": name,
        "currency": CURRENCY,
        "document": document,
        "seal": shown(seal),
        "transfers": [shown(each) for each in transfers],
        "checkpoint": checkpoint_document(checkpoint),
        "consistency": consistency_document(consistency),
    }
