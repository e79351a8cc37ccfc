"""Disputes about bill lines: who may open one and until when, who is heard, and what a decision moves.

Owns these rights. The project that pays a line and the provider that ran it are the parties; whoever sees the line sees its
dispute. A credit that an account cannot give back is refused, and the dispute stays open.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from suanwang.control.billing.bills import Bills
from suanwang.control.rules import Rules
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import AllocationId
from suanwang.domain.job import AllocationState, BillLine, Event
from suanwang.ports import Clock, Store
from suanwang.trading.agreements import Side
from suanwang.trading.disputes import (
    Act,
    Dispute,
    DisputeStep,
    check_text,
    credit_chain,
    dispute_leaf,
    stepped,
)
from suanwang.trading.ledger import AccountId, Chain, Owner, Phase, account_id
from suanwang.trading.settlement import chain_name

_PAGE = 500


class Disputes:
    def __init__(self, store: Store, clock: Clock, rules: Rules, bills: Bills) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules
        self._bills = bills

    def find(self, caller: Principal, usage_id: str) -> Dispute | None:
        """The dispute about a line that the caller sees; None where there is none. Raises `NotFound` for another line."""
        self._bills.line(caller, usage_id)
        return self._store.dispute(usage_id)

    def every(
        self, caller: Principal, undecided: bool, cursor: str | None, limit: int
    ) -> tuple[Sequence[Dispute], str | None]:
        """Those the caller is a party of, or all for operator and regulator; newest first."""
        return self._store.disputes(_parties(caller), undecided, cursor, min(limit, _PAGE))

    def open(self, caller: Principal, usage_id: str, text: str) -> Dispute:
        """Say that a line is wrong. The same again changes nothing. Raises `Conflict` where it is disputed already."""
        line = self._bills.line(caller, usage_id)
        check_text(text)
        step = self._step(caller, _side(caller, line), Act.OPENED, text)
        kept = self._store.dispute(usage_id)
        if kept is not None:
            if _same(kept.steps[0], step):
                return kept
            raise Conflict("this line is disputed already: add a statement", field="usage")
        if line.amount_fen <= 0:
            raise InvalidRequest("nothing was charged by this line", field="usage", allowed="a line of 1 fen and more")
        last = line.to_at + timedelta(days=self._rules.dispute_days)
        if step.at > last:
            raise InvalidRequest(
                "it is too late to dispute this line",
                field="usage",
                allowed=f"within {self._rules.dispute_days} days of its end, so until {last.isoformat()}",
            )
        dispute = Dispute(
            usage_id=usage_id,
            project=line.project,
            provider=line.provider,
            job_id=line.job_id,
            site_id=line.site_id,
            amount_fen=line.amount_fen,
            steps=(step,),
        )
        return self._keep(dispute)

    def until(self, line: BillLine) -> bool:
        """Whether the line may still be disputed."""
        return line.amount_fen > 0 and self._clock.now() <= line.to_at + timedelta(days=self._rules.dispute_days)

    def party(self, caller: Principal, line: BillLine) -> bool:
        """Whether the caller speaks for one of the line's sides."""
        return _side_of(caller, line.project, line.provider) is not None

    def state(self, caller: Principal, usage_id: str, text: str) -> Dispute:
        """Add a statement of the caller's side. Saying the same twice in a row changes nothing."""
        line, kept = self._bills.line(caller, usage_id), self._kept(usage_id)
        step = self._step(caller, _side(caller, line), Act.STATED, text)
        return kept if _same(kept.steps[-1], step) else self._keep(stepped(kept, step))

    def decide(self, caller: Principal, usage_id: str, credit_fen: int, text: str) -> Dispute:
        """Reject it (0), or give a part of the line back. The same decision again changes nothing. For operators."""
        caller.must_be(Role.OPERATOR)
        kept = self._kept(usage_id)
        step = self._step(caller, None, Act.CREDITED if credit_fen else Act.REJECTED, text, credit_fen)
        if _same(kept.steps[-1], step):
            return kept
        changed = stepped(kept, step)
        return self._keep(changed, self._credit(changed) if credit_fen else ())

    def _credit(self, dispute: Dispute) -> Chain:
        entries = self._store.chain_entries([chain_name(dispute.usage_id)])
        left = dispute.amount_fen - self._taken_back(dispute)
        if dispute.credit_fen > left:
            raise InvalidRequest(
                "a part of this line was taken back by a correction already", field="credit_fen", allowed=f"0 to {left}"
            )
        settled = [entry.transfer for entry in entries if entry.transfer.phase in (Phase.DIRECT, Phase.POST)]
        if not settled:
            raise Conflict("the line is not settled yet, so nothing can be given back", field="usage")
        payer = account_id(Owner.PROJECT, dispute.project)
        ended: dict[AccountId, AccountId] = {}
        for account in {each.debit for each in settled if each.debit.startswith(f"{Owner.VOUCHER}:")}:
            voucher = self._store.voucher(account.partition(":")[2])
            if voucher is not None and not voucher.live(self._clock.now()):
                ended[account] = account_id(Owner.ISSUER, voucher.issuer)
        return credit_chain(dispute.usage_id, payer, settled, dispute.credit_fen, ended)

    def _taken_back(self, dispute: Dispute) -> int:
        """What corrections of the line's record came to. They come with the end of a run, so a credit waits for that: raises
        `Conflict`."""
        allocation = self._store.allocation(AllocationId(dispute.usage_id.rpartition(":")[0]))
        if allocation is not None and allocation.state in (AllocationState.LEASED, AllocationState.RUNNING):
            raise Conflict("the run goes on, and its end may correct this line: decide then", field="usage")
        records = self._store.usage_records(dispute.job_id)
        corrections = {record.id for record in records if record.corrects == dispute.usage_id}
        return -sum(line.amount_fen for line in self._bills.of_job(dispute.job_id) if line.usage_id in corrections)

    def _keep(self, dispute: Dispute, chain: Chain = ()) -> Dispute:
        step = dispute.steps[-1]
        data: dict[str, object] = {"usage_id": dispute.usage_id, "side": step.side or "operator"}
        if step.credit_fen:
            data["credit_fen"] = step.credit_fen
        event = Event(
            kind=f"dispute.{step.act}",
            at=step.at,
            project=dispute.project,
            job_id=dispute.job_id,
            site_id=dispute.site_id,
            actor=step.by,
            data=data,
        )
        outcome = self._store.change_dispute(dispute, dispute_leaf(dispute), chain, step.at, [event])
        if outcome is not None and not outcome.done:
            raise Conflict(
                f"{outcome.account or outcome.chain} cannot give its part back now ({outcome.verdict}): the dispute stays open",
                field="credit_fen",
                allowed="less, or the same when it has money",
            )
        return self._kept(dispute.usage_id)

    def _kept(self, usage_id: str) -> Dispute:
        found = self._store.dispute(usage_id)
        if found is None:
            raise NotFound("this line is not disputed", field="usage", allowed="see `dispute list`")
        return found

    def _step(self, caller: Principal, side: Side | None, act: Act, text: str, credit_fen: int = 0) -> DisputeStep:
        return DisputeStep(
            act=act, side=side, by=caller.name, at=self._clock.now(), text=text.strip(), credit_fen=credit_fen
        )


def _same(kept: DisputeStep, asked: DisputeStep) -> bool:
    """Whether it is the same request, sent again."""
    return (kept.act, kept.side, kept.by, kept.text, kept.credit_fen) == (
        asked.act,
        asked.side,
        asked.by,
        asked.text,
        asked.credit_fen,
    )


def _side_of(caller: Principal, project: str, provider: str) -> Side | None:
    if caller.role is Role.USER and project in caller.projects:
        return Side.PROJECT
    if caller.role is Role.PROVIDER and caller.provider == provider:
        return Side.PROVIDER
    return None


def _side(caller: Principal, line: BillLine) -> Side:
    side = _side_of(caller, line.project, line.provider)
    if side is None:
        raise Forbidden(
            f"{caller.role} {caller.name!r} is no party of this line",
            field="token",
            allowed="its project's user or its provider",
        )
    return side


def _parties(caller: Principal) -> list[AccountId] | None:
    match caller.role:
        case Role.OPERATOR | Role.REGULATOR:
            return None
        case Role.USER:
            return [account_id(Owner.PROJECT, project) for project in caller.projects]
        case Role.PROVIDER if caller.provider:
            return [account_id(Owner.PROVIDER, caller.provider)]
        case _:
            raise Forbidden(
                f"{caller.role} {caller.name!r} has no disputes", field="token", allowed="user, provider, …"
            )
