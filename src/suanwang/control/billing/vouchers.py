"""Vouchers as people use them: budgets, issuing, choosing one for a job, and the supervisor's report.

Owns who may do what. Budgets and vouchers are entered by the network's operator; their holders see and choose them;
operator and regulator see what became of each. Redeeming is the loop's (`control.redeeming`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from suanwang import catalog
from suanwang.control.wording import region_of
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import JobId
from suanwang.domain.job import Event
from suanwang.ports import Clock, Store
from suanwang.trading.ledger import BANK, Account, AccountId, Outcome, Owner, Transfer, Verdict, account_id
from suanwang.trading.settlement import opened
from suanwang.trading.vouchers import BUDGET, Voucher, VoucherUse, check_voucher, holds, issue_chain

_PAGE = 500
_MOST_ID = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A voucher and its money: issued = used + held + left + returned."""

    voucher: Voucher
    used_fen: int
    held_fen: int
    left_fen: int
    """Free to be used."""
    returned_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A voucher as its supervisor sees it: what became of its money, and who used it where."""

    standing: Standing
    uses: tuple[VoucherUse, ...]


class Vouchers:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def fund(self, caller: Principal, issuer: str, amount_fen: int, key: str) -> Account:
        """Budget that an issuer paid in. The same `key` again changes nothing; with other words it is a `Conflict`."""
        caller.must_be(Role.OPERATOR)
        account = _issuer(issuer)
        now, name = self._clock.now(), f"budget/{key}"
        transfer = Transfer(id=name, chain=name, debit=BANK, credit=account, amount_fen=amount_fen, code=BUDGET)
        self._store.open_accounts([opened(BANK), opened(account)])
        data = {"issuer": issuer, "amount_fen": amount_fen, "transfer": name}
        event = Event(kind="voucher.funded", at=now, actor=caller.name, data=data)
        outcome = self._store.post([(transfer,)], now, [event])[0]
        if outcome.verdict is Verdict.CONFLICT:
            raise Conflict("this key was used for another budget: send a new one", field="id")
        if not outcome.done:
            raise InvalidRequest(f"this cannot be posted: {outcome.verdict}", field="amount_fen", allowed="less")
        found = self._store.account(account)
        assert found is not None, "it was opened"
        return found

    def issue(self, caller: Principal, wanted: Voucher) -> Standing:
        """Keep a voucher and fill it from its issuer's budget. The same again changes nothing."""
        caller.must_be(Role.OPERATOR)
        voucher = self._checked(replace(wanted, issued_at=self._clock.now(), issued_by=caller.name, closed_at=None))
        data = {"voucher": voucher.id, "issuer": voucher.issuer, "amount_fen": voucher.amount_fen}
        event = Event(kind="voucher.issued", at=voucher.issued_at, actor=caller.name, data=data)
        accounts = [opened(_issuer(voucher.issuer)), opened(voucher.account)]
        outcome = self._store.add_voucher(voucher, accounts, issue_chain(voucher), voucher.issued_at, (event,))
        self._check_issued(voucher, outcome)
        kept = self._store.voucher(voucher.id)
        assert kept is not None, "it was kept"
        return self._standings([kept])[0]

    def choose(self, caller: Principal, voucher_id: str, job_id: JobId) -> Standing:
        """Pay a job's bill with this voucher from now on. Raises `Conflict` where it has another one already."""
        voucher = self._store.voucher(voucher_id)
        job = self._store.job(job_id)
        if job is None or not caller.may_change(job.project):
            raise NotFound(f"there is no job {job_id[:100]!r} of yours", field="job", allowed="see `job list`")
        organisation = next((p.organisation for p in self._store.projects() if p.id == job.project), "")
        if voucher is None or not holds(voucher, job.project, organisation):
            raise NotFound(f"{job.project} holds no voucher {voucher_id[:100]!r}", field="voucher")
        now = self._clock.now()
        if not voucher.live(now):
            raise Conflict(f"voucher {voucher.id} has ended", field="voucher", allowed="one that is valid")
        event = Event(
            kind="voucher.chosen",
            at=now,
            project=job.project,
            job_id=job.id,
            actor=caller.name,
            data={"voucher": voucher.id},
        )
        self._store.bind_vouchers({job.id: voucher.id}, now, (event,))
        bound = self._store.bound_vouchers([job.id])[job.id]
        if bound != voucher.id:
            raise Conflict(f"the bill of {job.id} is paid with voucher {bound} already", field="job")
        return self._standings([voucher])[0]

    def every(self, caller: Principal, cursor: str | None, limit: int) -> tuple[Sequence[Standing], str | None]:
        """Vouchers the caller holds, or all for who watches; newest first."""
        found, after = self._store.vouchers(self._holders(caller), cursor, min(limit, _PAGE))
        return self._standings(found), after

    def report(self, caller: Principal, cursor: str | None, limit: int) -> tuple[Sequence[Watched], str | None]:
        """What became of each voucher: for operator and regulator."""
        caller.must_be(Role.OPERATOR, Role.REGULATOR)
        found, after = self._store.vouchers(None, cursor, min(limit, _PAGE))
        uses = self._store.voucher_uses([voucher.id for voucher in found])
        return [
            Watched(standing=standing, uses=tuple(use for use in uses if use.voucher == standing.voucher.id))
            for standing in self._standings(found)
        ], after

    def standing(self, voucher: Voucher) -> Standing:
        return self._standings([voucher])[0]

    def _holders(self, caller: Principal) -> list[str] | None:
        match caller.role:
            case Role.OPERATOR | Role.REGULATOR:
                return None
            case Role.USER:
                own = [project for project in self._store.projects() if project.id in caller.projects]
                named = {f"organisation:{project.organisation}" for project in own if project.organisation}
                return [*(f"project:{project.id}" for project in own), *sorted(named)]
            case _:
                raise Forbidden(f"{caller.role} {caller.name!r} holds no vouchers", field="token", allowed="user, …")

    def _standings(self, vouchers: Sequence[Voucher]) -> list[Standing]:
        used: dict[str, int] = {}
        for use in self._store.voucher_uses([voucher.id for voucher in vouchers]):
            used[use.voucher] = used.get(use.voucher, 0) + use.amount_fen
        found, _ = self._store.accounts([voucher.account for voucher in vouchers], None, max(1, len(vouchers)))
        accounts = {account.id: account for account in found}
        return [_standing(each, accounts[each.account], used.get(each.id, 0)) for each in vouchers]

    def _checked(self, voucher: Voucher) -> Voucher:
        """A voucher whose names are the network's own. Raises `InvalidRequest`."""
        if not 0 < len(voucher.id) <= _MOST_ID:
            raise InvalidRequest("this name is not possible", field="id", allowed=f"1 to {_MOST_ID} characters")
        check_voucher(voucher)
        known = {project.id for project in self._store.projects()}
        strange = [project for project in voucher.projects if project not in known]
        if strange:
            raise InvalidRequest(f"there is no project {strange[0]!r}", field="projects", allowed="see `project list`")
        return replace(
            voucher,
            regions=tuple(region_of(region) for region in voucher.regions),
            devices=tuple(catalog.accelerator(device, field="devices").id for device in voucher.devices),
        )

    def _check_issued(self, voucher: Voucher, outcome: Outcome) -> None:
        if outcome.done:
            return
        if outcome.verdict is Verdict.SHORT:
            issuer = self._store.account(_issuer(voucher.issuer))
            left = 0 if issuer is None else issuer.available_fen
            message = f"the budget of {voucher.issuer} has {left} fen left, the voucher needs {voucher.amount_fen}"
            raise Conflict(message, field="amount_fen", allowed="less, or a greater budget")
        raise Conflict(f"this voucher cannot be issued: {outcome.verdict}", field="id", allowed="a new name")


def _issuer(name: str) -> AccountId:
    if name != name.strip() or not 0 < len(name) <= _MOST_ID or not name.isprintable():
        raise InvalidRequest("an issuer is named in one line", field="issuer", allowed=f"1 to {_MOST_ID} characters")
    return account_id(Owner.ISSUER, name)


def _standing(voucher: Voucher, account: Account, used_fen: int) -> Standing:
    return Standing(
        voucher=voucher,
        used_fen=used_fen,
        held_fen=account.held_fen,
        left_fen=account.balance_fen - account.held_fen,
        returned_fen=voucher.amount_fen - used_fen - account.balance_fen,
    )
