"""The check of a paper by somebody who trusts nobody: what an invoice, an order, a voucher says against itself and the log.

Owns the rules that each kind must keep. That the log has the document's hash shows that the network said it, and when it is
shown again, that it says the same; the transfers show what was paid, from the moment it was paid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.grouping import PaperKind
from suanwang.trading.ledger import AccountId, Owner, Phase, account_id
from suanwang.trading.paperfile import Paper, digest
from suanwang.trading.proven import Paid
from suanwang.trading.proving import (
    UNREADABLE,
    Check,
    Failure,
    Finding,
    continuity,
    failure,
    inclusion,
    signature,
    unread,
)
from suanwang.trading.settlement import WHOLE_BP
from suanwang.trading.strict import count, instant_of, listed, mapping, text, whole

MONEY = ("amount_fen", "voucher_fen", "unsettled_fen")
SUMMED = (PaperKind.INVOICE, PaperKind.STATEMENT)
"""What sums up bills, whose own evidence has the transfers."""
_MOVED = (Phase.DIRECT, Phase.POST)


def verify_paper(value: object, *, key: str | None, older: Checkpoint | None) -> Finding:
    """As `evidence.verify`, of a paper."""
    try:
        paper = Paper.read(value)
        rule, amount = _RULES[paper.kind]
        failures = [
            *_seal(paper),
            *_complete(paper),
            *rule(paper),
            *inclusion(
                [("seal", paper.seal), *((f"transfer {each.transfer.id}", each.proven) for each in paper.transfers)],
                paper.checkpoint,
            ),
            *signature(paper.checkpoint, key, older),
            *continuity(paper.consistency, paper.checkpoint, older),
        ]
        due = amount(paper.document)
    except UNREADABLE as error:
        return unread("paper", error)
    return Finding(
        failures=tuple(failures),
        kind=paper.kind.value,
        name=paper.name,
        amount_fen=due,
        lines=len(paper.transfers),
        checkpoint=paper.checkpoint,
        trusted=key is not None,
    )


def _seal(paper: Paper) -> Iterator[Failure]:
    if digest(paper.document) != paper.sealed:
        yield failure(Check.SEAL, "document", "it is not what the log has the hash of")


def _complete(paper: Paper) -> Iterator[Failure]:
    """All the transfers that the document speaks of, in the order of the log. Papers that sum bills speak of none."""
    said = [] if paper.kind in SUMMED else [count(leaf) for leaf in listed(paper.document["leaves"])]
    there = [each.proven.index for each in paper.transfers]
    if there != said:
        odd = sorted(set(there) ^ set(said)) or there
        yield failure(
            Check.TRANSFERS, f"leaf {odd[0]}", f"the document has {len(said)} transfers, here are {len(there)}"
        )


def _agree(where: str, said: int, found: int, what: str) -> Iterator[Failure]:
    if said != found:
        yield failure(Check.DOCUMENT, where, f"it says {said} fen, {what} {found}")


def _named(paper: Paper, *parts: str) -> Iterator[Failure]:
    """Whether the document is of what the paper is called."""
    said = "/".join(text(paper.document[part]) for part in parts)
    if said != paper.name:
        yield failure(Check.DOCUMENT, "name", f"it is of {said[:200]}")


# the rules of each kind


def _invoice(paper: Paper) -> Iterator[Failure]:
    made = paper.document
    usage, lines = mapping(made["usage"]), listed(made["lines"])
    yield from _named(paper, "project", "month")
    for name in MONEY:
        yield from _agree(f"usage {name}", whole(usage[name]), _sum(lines, name), "its lines sum to")
    bought = _sum(listed(made["purchases"]), "amount_fen")
    yield from _agree("purchased_fen", whole(made["purchased_fen"]), bought, "its purchases sum to")
    given = listed(made.get("credits", []))
    credited = -_sum(given, "amount_fen")
    yield from _agree("credited_fen", whole(made.get("credited_fen", 0)), credited, "its credits sum to")
    amount = whole(usage["amount_fen"]) + bought - credited
    yield from _agree("amount_fen", whole(made["amount_fen"]), amount, "its parts sum to")
    voucher = whole(usage["voucher_fen"]) + _sum(given, "voucher_fen")
    yield from _agree("voucher_fen", whole(made["voucher_fen"]), voucher, "its lines sum to")
    due = whole(made["amount_fen"]) - whole(made["voucher_fen"])
    yield from _agree("due_fen", whole(made["due_fen"]), due, "without vouchers it is")


def _statement(paper: Paper) -> Iterator[Failure]:
    yield from _named(paper, "month", "by")
    for name in MONEY:
        total = whole(mapping(paper.document["total"])[name])
        yield from _agree(f"total {name}", total, _sum(listed(paper.document["items"]), name), "its rows sum to")


def _order(paper: Paper) -> Iterator[Failure]:
    """What was paid is what the trades come to, none of them is above the limit, and the hold is what was asked for."""
    order, trades = mapping(paper.document["order"]), [mapping(each) for each in listed(paper.document["trades"])]
    yield from _agree_text("order", text(order["id"]), paper.name)
    limit = order["limit_fen"]
    for trade in trades:
        units = sum(count(each) for each in listed(trade["counts"]))
        amount, commission = count(trade["amount_fen"]), count(trade["commission_fen"])
        if commission > amount or (limit is not None and amount > count(limit) * units):
            yield failure(Check.DOCUMENT, f"trade {text(trade['id'])}", "it costs more than the order allows")
    names = {f"order/{paper.name}/hold", f"order/{paper.name}/void", f"trade/{paper.name}"}
    for each in paper.transfers:
        chain = each.transfer.chain
        if chain not in names and not chain.startswith(f"trade/{paper.name}/more/"):
            yield failure(Check.TRANSFERS, f"transfer {each.transfer.id}", "it is of another order")
    viewer = text(paper.document["viewer"])
    if viewer == "seller":
        own = {text(each) for each in listed(paper.document["accounts"])}
        got = sum(each.transfer.amount_fen for each in paper.transfers if each.transfer.credit in own)
        worth = sum(count(trade["amount_fen"]) - count(trade["commission_fen"]) for trade in trades)
        if got > worth:
            yield failure(Check.TRANSFERS, "transfers", f"{got} fen were paid for trades of {worth}")
        return
    payer = account_id(Owner.PROJECT, text(order["project"]))
    total = _sum(trades, "amount_fen")
    yield from _agree("order paid_fen", count(order["paid_fen"]), total, "its trades sum to")
    yield from _agree("trades", total, _out(paper.transfers, payer), "its transfers took")


def _voucher(paper: Paper) -> Iterator[Failure]:
    made = paper.document
    yield from _named(paper, "id")
    account = account_id(Owner.VOUCHER, text(made["id"]))
    yield from _touch(paper.transfers, account)
    issuer = account_id(Owner.ISSUER, text(made["issuer"]))
    back = sum(e.transfer.amount_fen for e in paper.transfers if e.transfer.credit == issuer and _moves(e))
    given = [each.transfer for each in paper.transfers if each.transfer.credit == account and _moves(each)]
    filled = sum(each.amount_fen for each in given if each.debit == issuer)
    # What a dispute gave back was not used in the end.
    used = _out(paper.transfers, account) - back - sum(each.amount_fen for each in given if each.debit != issuer)
    ended = {each.transfer.pending_id for each in paper.transfers}
    held = sum(
        each.transfer.amount_fen
        for each in paper.transfers
        if each.transfer.phase is Phase.PENDING and each.transfer.id not in ended
    )
    yield from _agree("amount_fen", count(made["amount_fen"]), filled, "transfers filled it with")
    yield from _agree("used_fen", count(made["used_fen"]), used, "transfers paid")
    yield from _agree("returned_fen", count(made["returned_fen"]), back, "transfers returned")
    yield from _agree("held_fen", count(made["held_fen"]), held, "transfers hold")
    yield from _agree("left_fen", count(made["left_fen"]), filled - used - back - held, "transfers left")


def _credit(paper: Paper) -> Iterator[Failure]:
    """Each level costs its share of its site's bill; a site's levels at most its bill; the provider paid the sum."""
    made = paper.document
    said = f"{text(made['agreement'])}/{count(made['version'])}/{text(made['month'])}"
    yield from _agree_text("credit", said, paper.name)
    sites: dict[str, tuple[int, int]] = {}
    for level in (mapping(each) for each in listed(made["levels"])):
        bill, site = count(level["bill_fen"]), text(level["site"])
        due = bill * count(level["credit_bp"]) // WHOLE_BP
        yield from _agree(f"level {text(level['measure'])} of {site}", count(level["amount_fen"]), due, "it comes to")
        sites[site] = (bill, sites.get(site, (0, 0))[1] + due)
    owed = sum(min(bill, due) for bill, due in sites.values())
    yield from _agree("amount_fen", count(made["amount_fen"]), owed, "its levels come to")
    payer, payee = f"{Owner.PROVIDER}:{text(made['provider'])}", account_id(Owner.PROJECT, text(made["project"]))
    for each in paper.transfers:
        moved = each.transfer
        if (moved.debit, moved.credit, moved.chain) != (payer, payee, f"credit/{paper.name}") or not _moves(each):
            yield failure(Check.TRANSFERS, f"transfer {moved.id}", "it pays no part of this credit")
    paid = sum(each.transfer.amount_fen for each in paper.transfers)
    yield from _agree("paid", owed if made["paid"] is True else 0, paid, "transfers paid")


def _account(paper: Paper) -> Iterator[Failure]:
    made = paper.document
    yield from _named(paper, "account", "period")
    account = AccountId(text(made["account"]))
    yield from _touch(paper.transfers, account)
    begin, end = instant_of(made["from_at"]), instant_of(made["to_at"])
    for each in paper.transfers:
        if not begin <= each.at < end:
            yield failure(Check.TRANSFERS, f"transfer {each.transfer.id}", "it is of another time")
    given = sum(e.transfer.amount_fen for e in paper.transfers if e.transfer.credit == account and _moves(e))
    closing = whole(made["opening_fen"]) + given - _out(paper.transfers, account)
    yield from _agree("closing_fen", whole(made["closing_fen"]), closing, "transfers lead to")


# what they have in common


def _sum(rows: Sequence[Any], name: str) -> int:
    return sum(whole(mapping(row)[name]) for row in rows)


def _moves(each: Paid) -> bool:
    return each.transfer.phase in _MOVED


def _out(transfers: Sequence[Paid], account: AccountId) -> int:
    return sum(each.transfer.amount_fen for each in transfers if each.transfer.debit == account and _moves(each))


def _touch(transfers: Sequence[Paid], account: AccountId) -> Iterator[Failure]:
    for each in transfers:
        if account not in (each.transfer.debit, each.transfer.credit):
            yield failure(Check.TRANSFERS, f"transfer {each.transfer.id}", f"it is none of {account}")


def _agree_text(where: str, said: str, name: str) -> Iterator[Failure]:
    if said != name:
        yield failure(Check.DOCUMENT, where, f"it is of {said[:200]}, not {name[:200]}")


Rule = Callable[[Paper], Iterator[Failure]]
Amount = Callable[[Mapping[str, Any]], int]
_RULES: Mapping[PaperKind, tuple[Rule, Amount]] = {
    PaperKind.INVOICE: (_invoice, lambda made: whole(made["due_fen"])),
    PaperKind.STATEMENT: (_statement, lambda made: whole(mapping(made["total"])["amount_fen"])),
    PaperKind.ORDER: (_order, lambda made: _sum(listed(made["trades"]), "amount_fen")),
    PaperKind.VOUCHER: (_voucher, lambda made: count(made["used_fen"])),
    PaperKind.CREDIT: (_credit, lambda made: count(made["amount_fen"])),
    PaperKind.ACCOUNT: (_account, lambda made: whole(made["closing_fen"])),
}
"""What a paper of each kind must keep, and what it comes to."""
