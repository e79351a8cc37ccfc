"""Leftovers: what rounding leaves of the commission on sales, each of which is a whole number of fen by itself.

Owns the reckoning. A sale says in ten-thousandths of a fen by how much its commission is short of the rate (over it, below 0). A
seller's leftovers of one month are taken, or given back, once the month is over: so his month's commission is that of all he sold
together, less than a fen from exact, however it was cut into sales. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from suanwang.trading.ledger import NETWORK, AccountId, Chain, Transfer
from suanwang.trading.settlement import WHOLE_BP


def leftover(price_fen: int, commission_bp: int, commission_fen: int) -> int:
    """Ten-thousandths of a fen that are still due of a sale's commission."""
    return price_fen * commission_bp - commission_fen * WHOLE_BP


def collected(sums: Mapping[AccountId, int], month: str) -> tuple[Chain, ...]:
    """What sellers (account → sum of their leftovers) and the network owe each other of `month`, in whole fen."""
    found: list[Chain] = []
    for seller, left in sorted(sums.items()):
        fen, name = abs(left) // WHOLE_BP, f"commission/{month}/{seller}"
        payer, payee = (seller, NETWORK) if left > 0 else (NETWORK, seller)
        if fen:
            found.append((Transfer(id=name, chain=name, debit=payer, credit=payee, amount_fen=fen, code="commission"),))
    return tuple(found)
