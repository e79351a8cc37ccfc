"""Accounts as people see and fill them.

Owns who may see which account, and what an operator may do to one. Every change is a transfer or an event; balances are
never written.
"""

from __future__ import annotations

from collections.abc import Sequence

from suanwang.control.people import check_project
from suanwang.control.rules import Rules
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import BillLine, Event
from suanwang.ports import Audit, Clock, Store
from suanwang.trading.disputes import credit_name
from suanwang.trading.ledger import (
    BANK,
    MOST_FEN,
    Account,
    AccountId,
    Entry,
    Owner,
    Transfer,
    Verdict,
    account_id,
)
from suanwang.trading.settlement import chain_name, opened

_PAGE = 500


class Wallets:
    """A project's users see its account, a provider his own, operator and regulator all."""

    def __init__(self, store: Store, clock: Clock, rules: Rules) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules

    def accounts(self, caller: Principal, cursor: str | None, limit: int) -> tuple[Sequence[Account], str | None]:
        """By identifier."""
        return self._store.accounts(_visible(caller), cursor, min(limit, _PAGE))

    def account(self, caller: Principal, wanted: str) -> Account:
        """Raises `NotFound` for an account that there is not, or that the caller may not see."""
        visible = _visible(caller)
        found = self._store.account(AccountId(wanted)) if visible is None or wanted in visible else None
        if found is None:
            raise NotFound(f"there is no account {wanted[:100]!r}", field="account", allowed="see `wallet list`")
        return found

    def sees(self, caller: Principal, account: AccountId) -> bool:
        visible = _visible(caller)
        return visible is None or account in visible

    def transfers(
        self, caller: Principal, wanted: str, cursor: str | None, limit: int
    ) -> tuple[Sequence[Entry], str | None]:
        """Of one account, newest first."""
        account = self.account(caller, wanted)
        return self._store.entries(account.id, cursor, min(limit, _PAGE))

    def settled_by(self, line: BillLine) -> Sequence[Entry]:
        """The transfers that settled a bill line, which the caller was shown by `Bills`."""
        return self._store.chain_entries([chain_name(line.usage_id)])

    def given_back(self, line: BillLine) -> Sequence[Entry]:
        """The transfers that a dispute about the line gave back, of a line which the caller was shown by `Bills`."""
        return self._store.chain_entries([credit_name(line.usage_id)])

    def unsettled(self, caller: Principal) -> tuple[int, int]:
        """Lines of the caller's projects that are not settled, and how many of them are blocked by a limit."""
        if caller.role is Role.PROVIDER:
            return 0, 0
        return self._store.count_open(caller.projects if caller.role is Role.USER else None)

    def top_up(self, caller: Principal, project: ProjectId, amount_fen: int, key: str) -> Account:
        """Money that came from outside. The same `key` again changes nothing; with another amount it is a `Conflict`."""
        caller.must_be(Role.OPERATOR)
        account = self._project_account(project)
        now = self._clock.now()
        name = f"top_up/{key}"
        transfer = Transfer(id=name, chain=name, debit=BANK, credit=account, amount_fen=amount_fen, code="top_up")
        self._store.open_accounts([opened(BANK), self._new(project)])
        event = Event(
            kind="ledger.topped_up",
            at=now,
            project=project,
            actor=caller.name,
            data={"amount_fen": amount_fen, "transfer": name},
        )
        outcome = self._store.post([(transfer,)], now, [event])[0]
        if outcome.verdict is Verdict.CONFLICT:
            raise Conflict("this key was used for another top-up: send a new one", field="Idempotency-Key")
        if not outcome.done:
            raise InvalidRequest(f"this cannot be posted: {outcome.verdict}", field="amount_fen", allowed="less")
        return self.account(caller, account)

    def set_limit(self, caller: Principal, project: ProjectId, limit_fen: int | None) -> Account:
        """How far a project may owe: 0 makes it prepaid, None lets it pay by invoice later, and its runs hold nothing. Raises
        `Conflict` where it owes more already."""
        caller.must_be(Role.OPERATOR)
        if limit_fen is not None and not 0 <= limit_fen <= MOST_FEN:
            raise InvalidRequest("this limit is not possible", field="limit_fen", allowed=f"0 to {MOST_FEN}")
        account = self._project_account(project)
        self._store.open_accounts([self._new(project)])
        event = Event(
            kind="ledger.limit_set",
            at=self._clock.now(),
            project=project,
            actor=caller.name,
            data={"limit_fen": limit_fen},
        )
        return self._store.set_floor(account, None if limit_fen is None else -limit_fen, [event])

    def audit(self, caller: Principal) -> Audit:
        """The whole ledger against its own transfers."""
        caller.must_be(Role.OPERATOR, Role.REGULATOR)
        return self._store.audit()

    def _project_account(self, project: ProjectId) -> AccountId:
        check_project(self._store, project)
        return account_id(Owner.PROJECT, project)

    def _new(self, project: ProjectId) -> Account:
        account = account_id(Owner.PROJECT, project)
        return Account(id=account, owner=Owner.PROJECT, name=project, floor_fen=-self._rules.project_credit_fen)


def _visible(caller: Principal) -> list[AccountId] | None:
    match caller.role:
        case Role.OPERATOR | Role.REGULATOR:
            return None
        case Role.PROVIDER:
            return [] if caller.provider is None else [account_id(Owner.PROVIDER, caller.provider)]
        case Role.USER:
            return [account_id(Owner.PROJECT, project) for project in caller.projects]
        case _:
            raise Forbidden(f"{caller.role} {caller.name!r} has no account", field="token", allowed="user, provider, …")
