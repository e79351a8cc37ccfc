"""Papers as evidence: invoices, statements, orders, vouchers, credits and accounts that prove themselves.

Owns what each kind says, from what is stored, and who may ask for it: whoever sees the same on its page. A paper is sealed in
the log when its evidence is first asked for; asked for again with the same content it has the same leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from suanwang.control.billing.invoices import Invoices
from suanwang.control.billing.proofs import Proofs
from suanwang.control.billing.vouchers import Vouchers
from suanwang.control.billing.wallets import Wallets
from suanwang.control.contracts.agreements import Agreements
from suanwang.domain.errors import InvalidRequest, NotFound, Unavailable
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId
from suanwang.ports import Store, TradeQuery
from suanwang.trading.agreements import month_text
from suanwang.trading.credits import Credit
from suanwang.trading.grouping import By, PaperKind
from suanwang.trading.invoicing import ZONE, Month
from suanwang.trading.leaves import instant
from suanwang.trading.ledger import AccountId, Entry, Owner, Phase, account_id
from suanwang.trading.market.dealing import hold_id
from suanwang.trading.market.product import MOST_PRICE_FEN, begins
from suanwang.trading.market.termination import deposit_account
from suanwang.trading.market.values import Order, Trade
from suanwang.trading.paperfile import digest, paper_document
from suanwang.trading.papers import MONEY, SUMMED

_PAGE = 500
MOST_TRANSFERS = 20_000
"""In one paper."""
_LATE = timedelta(hours=1)
"""How far the order of the log and that of instants may differ between replicas."""
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a paper says, under which name, and the transfers it speaks of, by leaf."""

    name: str
    document: dict[str, object]
    entries: Sequence[Entry] = ()


class Papers:
    def __init__(
        self,
        store: Store,
        proofs: Proofs,
        wallets: Wallets,
        invoices: Invoices,
        vouchers: Vouchers,
        agreements: Agreements,
    ) -> None:
        self._store = store
        self._proofs = proofs
        self._wallets = wallets
        self._invoices = invoices
        self._vouchers = vouchers
        self._agreements = agreements
        self._makers: dict[PaperKind, Callable[[Principal, str], Said]] = {
            PaperKind.INVOICE: self._invoice,
            PaperKind.STATEMENT: self._statement,
            PaperKind.ORDER: self._order,
            PaperKind.VOUCHER: self._voucher,
            PaperKind.CREDIT: self._credit,
            PaperKind.ACCOUNT: self._account,
        }

    def evidence(self, caller: Principal, kind: PaperKind, name: str, since: int | None = None) -> dict[str, object]:
        """A paper that proves itself; with `since`, also that the log continues that of `since` leaves.

        Raises `NotFound` for one that the caller may not see, `InvalidRequest` for a name of another form.
        """
        said = self._makers[kind](caller, name)
        if len(said.entries) > MOST_TRANSFERS:
            message = f"{len(said.entries)} transfers are too many for one paper"
            raise InvalidRequest(message, field="name", allowed=f"up to {MOST_TRANSFERS}: a day of an account, say")
        if kind not in SUMMED:
            said.document["leaves"] = [entry.leaf for entry in said.entries]
        seal = self._store.seal(kind.value, said.name, digest(said.document))
        proven, checkpoint, consistency = self._proofs.proven([seal, *(entry.leaf for entry in said.entries)], since)
        transfers = [proven[entry.leaf] for entry in said.entries]
        return paper_document(kind, said.name, said.document, proven[seal], transfers, checkpoint, consistency)

    def _invoice(self, caller: Principal, name: str) -> Said:
        project, month = _two(name, "PROJECT/MONTH")
        return Said(name=name, document=self._invoices.invoice(caller, ProjectId(project), month))

    def _statement(self, caller: Principal, name: str) -> Said:
        month, by = _two(name, "MONTH/BY")
        if by not in list(By):
            raise InvalidRequest(f"{by[:50]!r} is nothing to sum by", field="name", allowed=", ".join(By))
        items = self._invoices.statement(caller, month, By(by))
        total = {part: sum(_whole(row[part]) for row in items) for part in MONEY}
        document: dict[str, object] = {
            "month": month,
            "by": by,
            "for": f"{caller.role}:{caller.name}",
            "items": items,
            "total": total,
        }
        return Said(name=name, document=document)

    def _order(self, caller: Principal, name: str) -> Said:
        order = self._store.order(name)
        trades = list(self._trades(name)) if order is not None else []
        own = _own(caller)
        buyer = order is not None and caller.may_see(order.project)
        mine = trades if buyer else [trade for trade in trades if trade.seller in own]
        if order is None or not (buyer or mine):
            raise NotFound(f"there is no order {name[:100]!r} of yours", field="name", allowed="see `order list`")
        more = [f"trade/{name}/more/{part}" for part in range(1, len(trades) + 1)]
        entries = self._store.chain_entries([hold_id(order), f"order/{name}/void", f"trade/{name}", *more])
        payer = account_id(Owner.PROJECT, order.project)
        # What is kept back of a seller's price as a deposit is his too, until it is due to somebody else.
        seen = {payer} if buyer else own | {deposit_account(trade.id) for trade in mine}
        document: dict[str, object] = {
            "viewer": "buyer" if buyer else "seller",
            "accounts": sorted(seen),
            "order": _order_said(order),
            "trades": [_trade_said(trade, mine_too=trade.seller in own or not _private(trade)) for trade in mine],
        }
        kept = [e for e in entries if e.transfer.debit in seen or e.transfer.credit in seen]
        return Said(name=name, document=document, entries=kept)

    def _trades(self, order: str) -> Iterable[Trade]:
        cursor: str | None = None
        while True:
            page, cursor = self._store.trades(TradeQuery(order_id=order), cursor, _PAGE)
            yield from page
            if cursor is None:
                return

    def _voucher(self, caller: Principal, name: str) -> Said:
        voucher = self._store.voucher(name)
        watches = caller.role in (Role.OPERATOR, Role.REGULATOR)
        # Where others use it too, its transfers say who they are.
        alone = voucher is not None and not voucher.organisations and set(voucher.projects) <= set(caller.projects)
        if voucher is None or not (watches or alone):
            raise NotFound(
                f"there is no voucher {name[:100]!r} of yours alone", field="name", allowed="see `voucher list`"
            )
        _, entries = self._settled(voucher.account, None)
        standing = self._vouchers.standing(voucher)
        document: dict[str, object] = {
            "id": voucher.id,
            "issuer": voucher.issuer,
            "title": voucher.title,
            "holders": list(voucher.holders),
            "from_at": instant(voucher.from_at),
            "until_at": instant(voucher.until_at),
            "share_bp": voucher.share_bp,
            "cap_fen": voucher.cap_fen,
            "issued_at": instant(voucher.issued_at),
            "issued_by": voucher.issued_by,
            "amount_fen": voucher.amount_fen,
            "used_fen": standing.used_fen,
            "held_fen": standing.held_fen,
            "left_fen": standing.left_fen,
            "returned_fen": standing.returned_fen,
        }
        return Said(name=voucher.id, document=document, entries=entries)

    def _credit(self, caller: Principal, name: str) -> Said:
        cursor: str | None = None
        while True:
            page, cursor = self._agreements.credits(caller, cursor, _PAGE)
            found = next(((credit, waits) for credit, waits in page if credit.key == name), None)
            if found is not None:
                break
            if cursor is None:
                raise NotFound(
                    f"there is no credit {name[:100]!r} of yours", field="name", allowed="AGREEMENT/VERSION/MONTH"
                )
        credit, waits = found
        entries = self._store.chain_entries([f"credit/{credit.key}"])
        return Said(name=name, document=_credit_said(credit, paid=bool(entries) and not waits), entries=entries)

    def _account(self, caller: Principal, name: str) -> Said:
        wanted, period = _two(name, "ACCOUNT/MONTH or ACCOUNT/DAY")
        account = self._wallets.account(caller, wanted)
        begin, end = _period(period)
        balance, later = self._settled(account.id, begin)
        inside = [entry for entry in later if begin <= entry.at < end]
        closing = balance - sum(_change(entry, account.id) for entry in later if entry.at >= end)
        document: dict[str, object] = {
            "account": account.id,
            "period": period,
            "from_at": instant(begin),
            "to_at": instant(end),
            "opening_fen": closing - sum(_change(entry, account.id) for entry in inside),
            "closing_fen": closing,
        }
        return Said(name=name, document=document, entries=inside)

    def _settled(self, account: AccountId, begin: datetime | None) -> tuple[int, list[Entry]]:
        """A balance and the transfers since `begin` that led to it, by leaf: as of one moment."""
        for _ in range(_TRIES):
            found = self._since(account, begin)
            known = self._store.account(account)
            again, _ = self._store.entries(account, None, 1)
            if known is not None and [e.leaf for e in again] == [e.leaf for e in found[:1]]:
                return known.balance_fen, [entry for entry in reversed(found) if begin is None or entry.at >= begin]
        raise Unavailable("this account moves all the time: try again")

    def _since(self, account: AccountId, begin: datetime | None) -> list[Entry]:
        """Newest first; the newest of all is there whenever it was."""
        found: list[Entry] = []
        cursor: str | None = None
        while True:
            page, cursor = self._store.entries(account, cursor, _PAGE)
            found += page
            over = begin is not None and bool(page) and page[-1].at < begin - _LATE
            if cursor is None or over:
                return found


def _two(name: str, form: str) -> tuple[str, str]:
    first, slash, second = name.rpartition("/")
    if not (first and slash and second):
        raise InvalidRequest(f"{name[:100]!r} does not name such a paper", field="name", allowed=form)
    return first, second


def _period(text: str) -> tuple[datetime, datetime]:
    if len(text) == len("2026-03"):
        month = Month.named(text)
        return month.from_at, month.to_at
    try:
        begin = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=ZONE)
    except ValueError:
        raise InvalidRequest(f"{text[:20]!r} is no time", field="name", allowed="2026-03 or 2026-03-07") from None
    return begin, begin + timedelta(days=1)


def _own(caller: Principal) -> set[AccountId]:
    if caller.role is Role.PROVIDER and caller.provider is not None:
        return {account_id(Owner.PROVIDER, caller.provider)}
    return {account_id(Owner.PROJECT, project) for project in caller.projects}


def _change(entry: Entry, account: AccountId) -> int:
    if entry.transfer.phase not in (Phase.DIRECT, Phase.POST):
        return 0
    return entry.transfer.amount_fen if entry.transfer.credit == account else -entry.transfer.amount_fen


def _whole(value: object) -> int:
    assert isinstance(value, int), "money is whole fen"
    return value


def _private(trade: Trade) -> bool:
    """Who sells a right on is shown to himself alone."""
    return trade.seller.startswith(f"{Owner.PROJECT}:")


def _order_said(order: Order) -> dict[str, object]:
    return {
        "id": order.id,
        "project": order.project,
        "owner": order.owner,
        "devices": list(order.devices),
        "places": list(order.places),
        "count": order.count,
        "from_at": instant(begins(order.first)),
        "to_at": instant(begins(order.end)),
        "limit_fen": None if order.limit_fen == MOST_PRICE_FEN else order.limit_fen,
        "divisible": order.divisible,
        "interruptible": order.interruptible,
        "way": order.way.value,
        "state": order.state.value,
        "placed_at": instant(order.placed_at),
        "filled": order.filled,
        "paid_fen": order.paid_fen,
    }


def _trade_said(trade: Trade, *, mine_too: bool) -> dict[str, object]:
    return {
        "id": trade.id,
        "offer": trade.offer_id,
        "seller": trade.seller if mine_too else "resale",
        "site": trade.zone.site,
        "device": trade.zone.device,
        "interruptible": trade.zone.interruptible,
        "from_at": instant(begins(trade.first)),
        "counts": list(trade.counts),
        "amount_fen": trade.amount_fen,
        "commission_fen": trade.commission_fen,
        "call": None if trade.auction is None else instant(begins(trade.auction)),
        "at": instant(trade.at),
    }


def _credit_said(credit: Credit, *, paid: bool) -> dict[str, object]:
    return {
        "agreement": credit.agreement,
        "version": credit.version,
        "month": month_text(credit.month),
        "project": credit.project,
        "provider": credit.provider,
        "from_at": instant(credit.from_at),
        "to_at": instant(credit.to_at),
        "levels": [
            {
                "site": level.site,
                "measure": level.measure.value,
                "value": level.value,
                "number": level.number,
                "missed": level.missed,
                "misses": [
                    {
                        "from_at": instant(miss.from_at),
                        "to_at": instant(miss.to_at),
                        "events": list(miss.events),
                        "job": miss.job,
                        "started": miss.started,
                    }
                    for miss in level.misses
                ],
                "bill_fen": level.bill_fen,
                "credit_bp": level.credit_bp,
                "amount_fen": level.amount_fen,
            }
            for level in credit.levels
        ],
        "bill_fen": credit.bill_fen,
        "amount_fen": credit.amount_fen,
        "paid": paid,
    }
