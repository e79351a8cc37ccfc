"""From matches to what is kept and moved: trades, rights, what is left of offers, and the transfers.

Owns the way of the money. A standing order's hold goes from its project to the market's own account; when it trades, what
it pays is posted there and handed on to sellers and network in the same chain, and the rest of the hold is released. So
that account is empty between any two deals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from suanwang.trading.ledger import MOST_IN_CHAIN, NETWORK, Account, AccountId, Owner, Phase, Transfer, account_id
from suanwang.trading.leftovers import leftover
from suanwang.trading.market.product import HOUR, added, begins
from suanwang.trading.market.termination import Deposit
from suanwang.trading.market.terms import SaleTerms, Sold, together
from suanwang.trading.market.values import Match, Offer, Order, OrderState, Reservation, Trade
from suanwang.trading.settlement import WHOLE_BP, opened, split

MARKET = account_id(Owner.OPERATOR, "market")
"""What buyers pay passes through it."""
Price = Callable[[Match, int], int]
"""Fen per unit and hour of a match in a window, as the buyer pays it."""
Owners = Mapping[str, Mapping[str, int]]
"""Site → owner → weight, of sites whose owners share what their provider sells."""


def payer(order: Order) -> AccountId:
    return account_id(Owner.PROJECT, order.project)


def hold_id(order: Order) -> str:
    return f"order/{order.id}/hold"


def hold(order: Order) -> Transfer:
    """The most that a standing order can come to, until an hour after its first window begins."""
    name = hold_id(order)
    return Transfer(
        id=name,
        chain=name,
        debit=payer(order),
        credit=MARKET,
        amount_fen=order.hold_fen,
        code="order",
        phase=Phase.PENDING,
        timeout_at=begins(order.first) + HOUR,
    )


def void(order: Order) -> Transfer:
    """Gives the hold back."""
    name = f"order/{order.id}/void"
    return Transfer(
        id=name,
        chain=name,
        debit=payer(order),
        credit=MARKET,
        amount_fen=order.hold_fen,
        code="order",
        phase=Phase.VOID,
        pending_id=hold_id(order),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What an order's matches come to."""

    order: Order
    trades: tuple[Trade, ...]
    reservations: tuple[Reservation, ...]
    chains: tuple[tuple[Transfer, ...], ...]
    deposits: tuple[Deposit, ...] = ()

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Those that its chains need beside the parties'."""
        return tuple(opened(deposit.account) for deposit in self.deposits)


def fill_order(
    order: Order,
    matches: Sequence[Match],
    offers: Mapping[str, Offer],
    price: Price,
    commission_bp: int,
    now: datetime,
    auction: int | None = None,
    owners: Owners | None = None,
    terms: SaleTerms | None = None,
    *,
    held: bool | None = None,
    seller_fen: int | None = None,
) -> Filled:
    """The order, ended at `now`, with its trades, the rights it got, and the chains that pay for them.

    `held` is whether it has a hold; by default those of calls have. With `seller_fen` the sellers get
    that per unit and hour, commission included, instead of what the buyer pays; the network has the rest.
    `order` is as stored, or new with revision 0 where it was never held. Without a match it ends unfilled, and its hold is
    given back. Accounts of `owners` are open. Under `terms` a part of what providers get is kept back as deposits.
    """
    trades = tuple(
        _trade(order, number, match, offers[match.ask], price, commission_bp, now, auction, seller_fen)
        for number, match in enumerate(matches, 1)
    )
    deposits = _deposits(order, trades, offers, terms)
    rights = _rights(order, trades, offers, now, terms, {deposit.id: deposit for deposit in deposits})
    units = sum(right.bought for right in rights)
    state = OrderState.UNFILLED if not units else OrderState.FILLED if units == order.count else OrderState.PARTLY
    held = auction is not None if held is None else held
    ended = replace(
        order,
        state=state,
        ended_at=now,
        filled=units,
        paid_fen=sum(trade.amount_fen for trade in trades),
        revision=order.revision + 1 if held else 0,
    )
    given_back = ((void(order),),) if held else ()
    chains = payments(order, trades, held=held, owners=owners, deposits=deposits) if trades else given_back
    return Filled(order=ended, trades=trades, reservations=rights, chains=chains, deposits=deposits)


def _trade(
    order: Order,
    number: int,
    match: Match,
    offer: Offer,
    price: Price,
    commission_bp: int,
    now: datetime,
    auction: int | None,
    seller_fen: int | None,
) -> Trade:
    amount = sum(units * price(match, window) for window, units in enumerate(match.counts, match.first))
    sold_for = amount if seller_fen is None else sum(match.counts) * seller_fen
    commission = sold_for * commission_bp // WHOLE_BP
    return Trade(
        id=f"{order.id}.{number}",
        order_id=order.id,
        offer_id=offer.id,
        project=order.project,
        seller=offer.seller,
        zone=match.zone,
        first=match.first,
        counts=match.counts,
        amount_fen=amount,
        commission_fen=amount - sold_for + commission,
        leftover=leftover(sold_for, commission_bp, commission),
        auction=auction,
        at=now,
    )


def _deposits(
    order: Order, trades: Sequence[Trade], offers: Mapping[str, Offer], terms: SaleTerms | None
) -> tuple[Deposit, ...]:
    """What is kept back of each provider's sale. What stands behind a right that is sold on goes with it as it is."""
    if terms is None:
        return ()
    found = [
        Deposit(
            id=trade.id,
            seller=trade.seller,
            site=offers[trade.offer_id].site,
            amount_fen=min(trade.amount_fen * terms.deposit_bp // WHOLE_BP, trade.amount_fen - trade.commission_fen),
            until=order.end,
        )
        for trade in trades
        if offers[trade.offer_id].reservation is None
    ]
    return tuple(deposit for deposit in found if deposit.amount_fen)


def _behind(trade: Trade, offer: Offer, terms: SaleTerms | None, deposits: Mapping[str, Deposit]) -> Sold | None:
    if offer.reservation is not None:
        return None if offer.sold is None else offer.sold.part(sum(trade.counts), offer.count * len(offer.left))
    if terms is None:
        return None
    deposit = deposits.get(trade.id)
    return Sold(
        seller=trade.seller,
        worth_fen=trade.amount_fen,
        commission_fen=trade.commission_fen,
        deposit_fen=0 if deposit is None else deposit.amount_fen,
        deposits=() if deposit is None else (deposit.id,),
        terms=terms,
    )


def _rights(
    order: Order,
    trades: Sequence[Trade],
    offers: Mapping[str, Offer],
    now: datetime,
    terms: SaleTerms | None,
    deposits: Mapping[str, Deposit],
) -> tuple[Reservation, ...]:
    found: list[Reservation] = []
    for number, zone in enumerate(sorted({trade.zone for trade in trades}), 1):
        here = [trade for trade in trades if trade.zone == zone]
        counts: tuple[int, ...] = (0,) * order.windows
        for trade in here:
            counts = added(order.first, counts, trade.first, trade.counts)
        assert len(set(counts)) == 1, "a right is a rectangle"
        offer = offers[here[0].offer_id]
        found.append(
            Reservation(
                id=f"{order.id}.{number}",
                order_id=order.id,
                project=order.project,
                site=offer.site,
                region=offer.region,
                device=zone.device,
                interruptible=zone.interruptible,
                first=order.first,
                counts=counts,
                bought=counts[0],
                paid_fen=sum(trade.amount_fen for trade in here),
                at=now,
                sold=together(
                    [
                        sold
                        for trade in here
                        if (sold := _behind(trade, offers[trade.offer_id], terms, deposits)) is not None
                    ]
                ),
            )
        )
    return tuple(found)


def payments(
    order: Order,
    trades: Sequence[Trade],
    *,
    held: bool,
    owners: Owners | None = None,
    deposits: Sequence[Deposit] = (),
) -> tuple[tuple[Transfer, ...], ...]:
    """The chains that take an order's amount from its project, out of its hold where it has one, and hand it on whole."""
    name, total = f"trade/{order.id}", sum(trade.amount_fen for trade in trades)
    due: dict[AccountId, int] = {deposit.account: deposit.amount_fen for deposit in deposits}
    kept = {deposit.id: deposit.amount_fen for deposit in deposits}
    for trade in trades:
        for account, amount in _earned(trade, owners or {}, kept.get(trade.id, 0)).items():
            due[account] = due.get(account, 0) + amount
    due[NETWORK] = sum(trade.commission_fen for trade in trades)
    taken = Transfer(
        id=f"{name}/0",
        chain=name,
        debit=payer(order),
        credit=MARKET,
        amount_fen=total,
        code="order",
        phase=Phase.POST if held else Phase.DIRECT,
        pending_id=hold_id(order) if held else None,
    )
    moves = [(account, amount) for account, amount in due.items() if amount]
    size = MOST_IN_CHAIN - 1
    chains: list[tuple[Transfer, ...]] = []
    for part, begin in enumerate(range(0, len(moves), size)):
        chain = name if not part else f"{name}/more/{part}"
        paid = [
            Transfer(
                id=f"{name}/{number}",
                chain=chain,
                debit=MARKET,
                credit=account,
                amount_fen=amount,
                code=_code(account),
            )
            for number, (account, amount) in enumerate(moves[begin : begin + size], begin + 1)
        ]
        chains.append((*(() if part else (taken,)), *paid))
    return tuple(chains)


def _code(account: AccountId) -> str:
    if account == NETWORK:
        return "commission"
    return "deposit" if account.startswith(f"{Owner.DEPOSIT}:") else "sale"


def _earned(trade: Trade, owners: Owners, kept_fen: int) -> Mapping[AccountId, int]:
    """Who gets what of a trade beside the commission and what is kept back. A project that sells a right on shares with
    nobody."""
    amount, shares = trade.amount_fen - trade.commission_fen - kept_fen, owners.get(trade.zone.site)
    if not shares or not trade.seller.startswith(f"{Owner.PROVIDER}:"):
        return {trade.seller: amount}
    names = [account_id(Owner.PROVIDER, name) for name in shares]
    return dict(zip(names, split(amount, tuple(shares.values())), strict=True))


def sold(offers: Mapping[str, Offer], trades: Sequence[Trade]) -> tuple[Offer, ...]:
    """The offers that these trades took from, each with what is left of it and its next revision."""
    changed: dict[str, Offer] = {}
    for trade in trades:
        offer = changed.get(trade.offer_id) or replace(
            offers[trade.offer_id], revision=offers[trade.offer_id].revision + 1
        )
        changed[offer.id] = replace(offer, left=added(offer.first, offer.left, trade.first, trade.counts, sign=-1))
    assert all(min(offer.left) >= 0 for offer in changed.values()), "nothing is sold twice"
    return tuple(changed[name] for name in sorted(changed))
