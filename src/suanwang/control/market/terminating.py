"""Rights that end early on their holder's wish, the terms that all is sold under, and the guarantee.

Owns who may do it and when; who pays what is `trading.market.termination`'s. Identifiers are made by whoever asks, as everywhere
on the market. What a provider takes back is
`control.market.reclaiming`'s, what ends because a site is lost `control.market.defaulting`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from suanwang.control.market.calling import terms_at
from suanwang.control.market.reclaiming import Reclaiming, balances, termination_of
from suanwang.control.market.requests import ID_ALLOWED, check_id, check_range, event_of, projects_of
from suanwang.control.market.reserving import in_use
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound, Unavailable
from suanwang.domain.identity import Principal, Role
from suanwang.ports import Deal, TerminationQuery
from suanwang.trading.ledger import MOST_FEN, NETWORK, Account, Owner, Transfer, Verdict, account_id
from suanwang.trading.market.product import added, window_of
from suanwang.trading.market.termination import (
    GUARANTEE,
    Deposit,
    Drawn,
    Means,
    Termination,
    TerminationKind,
    behind,
    chain_of,
    drawn,
)
from suanwang.trading.market.terms import SaleTerms, check_terms
from suanwang.trading.market.values import Reservation
from suanwang.trading.settlement import WHOLE_BP, opened

_PAGE = 500
_TRIES = 8
_BUSY = "others changed the same rights at the same time: try again"


class Terminations(Reclaiming):
    """Terms of sale, cancelling, taking back, and the operator's guarantee."""

    # terms and the guarantee

    def terms(self, caller: Principal) -> Sequence[SaleTerms]:
        """Those in force now, then those to come and those before, the latest first; everybody may see them."""
        now, kept = self._clock.now(), self._store.sale_terms()
        current = terms_at(self._store, now)
        return [current, *(terms for terms in kept if terms != current)]

    def set_terms(self, caller: Principal, terms: SaleTerms) -> SaleTerms:
        """For what is sold from `from_at` on, now or later. What was sold keeps its terms."""
        caller.must_be(Role.OPERATOR)
        check_terms(terms)
        now = self._clock.now()
        if terms.from_at < now - timedelta(minutes=5):
            raise InvalidRequest("terms do not begin in the past", field="from_at", allowed="now or later")
        if terms.from_at > now + timedelta(days=366):
            raise InvalidRequest("terms begin too far ahead", field="from_at", allowed="within 366 days")
        event = event_of("market.terms", now, caller, from_at=terms.from_at.isoformat())
        if not self._store.add_sale_terms(terms, [event]) and terms not in self._store.sale_terms():
            raise Conflict("other terms begin at this instant", field="from_at", allowed="another instant")
        return terms

    def fund(self, caller: Principal, amount_fen: int, key: str) -> Account:
        """Move what the network earned into its guarantee. The same `key` again changes nothing."""
        caller.must_be(Role.OPERATOR)
        check_range("amount_fen", amount_fen, MOST_FEN)
        now, name = self._clock.now(), f"guarantee/{key}"
        transfer = Transfer(
            id=name, chain=name, debit=NETWORK, credit=GUARANTEE, amount_fen=amount_fen, code="guarantee"
        )
        self._store.open_accounts([opened(NETWORK), opened(GUARANTEE)])
        event = event_of("market.guarantee", now, caller, amount_fen=amount_fen, transfer=name)
        outcome = self._store.post([(transfer,)], now, [event])[0]
        if outcome.verdict is Verdict.SHORT:
            raise Conflict("the network has not earned that much", field="amount_fen", allowed="less")
        if outcome.verdict is Verdict.CONFLICT:
            raise Conflict("this key was used for another amount: send a new one", field="Idempotency-Key")
        if not outcome.done:
            raise InvalidRequest(f"this cannot be posted: {outcome.verdict}", field="amount_fen", allowed="less")
        return self.guarantee(caller)

    def guarantee(self, caller: Principal) -> Account:
        """What it has is everybody's to know: it stands behind their rights."""
        return self._store.account(GUARANTEE) or opened(GUARANTEE)

    def terminations(
        self, caller: Principal, cursor: str | None, limit: int
    ) -> tuple[Sequence[Termination], str | None]:
        """Of the caller's projects, or of what he sold; newest first."""
        if caller.role is Role.PROVIDER:
            query = TerminationQuery(sellers=[account_id(Owner.PROVIDER, caller.provider or "")])
        else:
            query = TerminationQuery(projects=projects_of(caller))
        return self._store.terminations(query, cursor, min(limit, _PAGE))

    def owed(self, found: Sequence[Termination]) -> Collection[str]:
        """Those of these of which something is still unpaid."""
        names = [each.id for each in found if each.unpaid_fen]
        return self._store.debts_open(names) if names else ()

    def deposits(self, caller: Principal, cursor: str | None, limit: int) -> tuple[Sequence[Deposit], str | None]:
        """Of the caller's sales; operator and regulator see all."""
        caller.must_be(Role.PROVIDER, Role.OPERATOR, Role.REGULATOR)
        mine = [account_id(Owner.PROVIDER, caller.provider or "")] if caller.role is Role.PROVIDER else None
        return self._store.deposits(mine, cursor, min(limit, _PAGE))

    # the holder cancels

    def cancel(
        self, caller: Principal, right_id: str, key: str, count: int | None = None, *, trial: bool = False
    ) -> Termination:
        """Give units of a right back, over all its hours that have not begun, for what its terms give back of the price.
        With `trial` only say what that is."""
        check_id(key)
        for _ in range(_TRIES):
            now = self._clock.now()
            right = self._store.reservation(right_id)
            if right is None or not caller.may_change(right.project):
                raise NotFound(
                    f"there is no right {right_id[:100]!r} of yours", field="right", allowed="see `order rights`"
                )
            known = self._store.termination(key)
            if known is not None:
                return _same(known, TerminationKind.CANCELLED, right.id)
            termination, paid, left = self._cancelled(right, key, count, now)
            if trial:
                return termination
            event = event_of(
                "market.right_cancelled",
                now,
                caller,
                right.project,
                right.site,
                right=right.id,
                termination=termination.id,
                paid_fen=termination.paid_fen,
            )
            chain = tuple(chain_of(termination.id, termination.kind, right.project, termination.seller, paid))
            dealt = self._end(Deal(reservations=(left,), terminations=(termination,), events=(event,)), [chain], now)
            if dealt.done:
                return termination
            self._check_paid(dealt, termination, "its seller cannot pay that back now: sell the right on, or try later")
        raise Unavailable(_BUSY)

    def _cancelled(
        self, right: Reservation, key: str, count: int | None, now: datetime
    ) -> tuple[Termination, Drawn, Reservation]:
        if right.sold is None:
            raise Conflict("this right was bought before rights could be cancelled", field="right")
        begin = max(right.first, window_of(now) + 1)
        used = in_use(self._store, right)
        free = [max(units - used, 0) for units in right.counts[begin - right.first :]]
        most = max(free, default=0)
        wanted = most if count is None else count
        if not 0 < wanted <= most:
            raise Conflict(f"{most} units of {right.id} can be given back", field="count", allowed=f"up to {most}")
        # Some of its hours may have fewer units, or none: those that there are go back, from the first of them on.
        ahead = next(at for at, units in enumerate(free) if units)
        first, counts = begin + ahead, tuple(min(wanted, units) for units in free[ahead:])
        bp = right.sold.terms.refund_bp(first, now)
        if bp is None:
            steps = ", ".join(f"{step.hours} h" for step in right.sold.terms.refunds)
            raise Conflict("it is too late to cancel this right", field="right", allowed=f"{steps or 'never'} before")
        sold = behind(right, counts)
        assert sold is not None, "it was looked at a moment ago"
        due = sold.worth_fen * bp // WHOLE_BP
        commission = sold.commission_fen * bp // WHOLE_BP
        means = Means(deposits=balances(self._store, sold), seller_fen=due, network_fen=commission)
        paid = drawn(due, sold.deposit_fen, means)
        termination = termination_of(key, TerminationKind.CANCELLED, right, sold, first, counts, due, paid, now)
        left = replace(
            right, counts=added(right.first, right.counts, first, counts, sign=-1), revision=right.revision + 1
        )
        return termination, paid, left


def _same(known: Termination, kind: TerminationKind, right: str) -> Termination:
    if (known.kind, known.right) != (kind, right):
        raise Conflict("this identifier was used for another: send a new one", field="id", allowed=ID_ALLOWED)
    return known
