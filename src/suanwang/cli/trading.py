"""Commands about money that was moved: wallets, and a bill that anybody can check."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanwang.cli.exits import UsageError
from suanwang.cli.options import Json, Limit, network
from suanwang.domain.errors import InvalidRequest
from suanwang.trading.grouping import PaperKind
from suanwang.trading.ledger import MOST_FEN, Phase

if TYPE_CHECKING:
    from rich.table import Table

    from suanwang.client import ledger_models
    from suanwang.trading.proving import Finding

app = typer.Typer(no_args_is_help=True, help="Wallets: balances, transfers, top-ups, limits, checkpoints.")
Since = Annotated[
    Path | None,
    typer.Option("--since", help="A checkpoint you kept: prove that the ledger continues it.", show_default=False),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The file to write; by default standard output.", show_default=False),
]
_LARGEST_FILE = 512 * 2**20


@app.command("list")
def list_accounts(context: typer.Context, as_json: Json = False) -> None:
    """The accounts you may see."""
    from suanwang.cli.terminal import console, emit, note

    with network(context) as client:
        rows = list(client.accounts())
        unsettled, blocked = client.unsettled()
    if as_json:
        emit(rows)
        return
    console().print(_accounts(rows))
    if unsettled:
        note(f"{unsettled} bill lines are not settled yet" + (f", {blocked} because of a limit" if blocked else ""))


@app.command()
def show(
    context: typer.Context,
    account: Annotated[str, typer.Argument(help="Such as `project:demo`.")],
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """One account and its transfers, newest first."""
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        found = client.account(account)
        rows = list(islice(client.transfers(account, page_size=min(limit, 200)), limit))
    if as_json:
        emit({"account": found, "transfers": rows})
    else:
        console().print(_accounts([found]))
        console().print(_transfers(account, rows))


@app.command()
def flows(
    context: typer.Context,
    account: Annotated[str, typer.Argument(help="Such as `provider:NAME`, `project:demo`, `operator:network`.")],
    months: Annotated[int, typer.Option(min=1, max=60, help="This month and those before it.")] = 12,
    as_json: Json = False,
) -> None:
    """What an account got, less what it gave: by month, purpose, project and provider."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = client.flows(account, months)
    if as_json:
        emit(rows)
        return
    made = tables.table("month", "code", "project", "provider", "amount", right=("amount",))
    for row in rows:
        made.add_row(row.month, row.code, row.project or "", row.provider or "", tables.fen(row.amount_fen))
    console().print(made)


@app.command()
def checkpoints(context: typer.Context, limit: Limit = 50, as_json: Json = False) -> None:
    """The checkpoints that were signed, largest first."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = client.checkpoints(limit=min(limit, 500))
    if as_json:
        emit(rows)
        return
    made = tables.table("leaf", "at", "root", right=("leaf",))
    for row in rows:
        made.add_row(str(row.size), row.at, row.root)
    console().print(made)


@app.command("top-up")
def top_up(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="The project that is paid for.")],
    yuan: Annotated[str, typer.Argument(help="How much, in yuan.")],
    key: Annotated[
        str | None,
        typer.Option(help="Your own name for this payment: repeating it is harmless.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put money that was received on a project's account. For operators."""
    amount = fen_of(yuan)
    with network(context) as client:
        _changed(client.top_up(project, amount, key=key), as_json)


@app.command()
def limit(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="The project.")],
    yuan: Annotated[
        str,
        typer.Argument(help="How far it may owe, in yuan; 0 makes it prepaid, `none` lets it pay by invoice later."),
    ],
    as_json: Json = False,
) -> None:
    """Change how far a project may owe. For operators."""
    amount = None if yuan == "none" else fen_of(yuan)
    with network(context) as client:
        _changed(client.set_limit(project, amount), as_json)


@app.command()
def checkpoint(context: typer.Context, output: Output = None) -> None:
    """Fetch the ledger's signed size and root. Keep it: later bills prove that nothing before it was changed."""
    with network(context) as client:
        _write(client.checkpoint().model_dump(mode="json"), output)


@app.command()
def audit(context: typer.Context, as_json: Json = False) -> None:
    """Check the whole ledger against its own transfers. For operators and regulators."""
    from suanwang.cli.terminal import emit, said, say

    with network(context) as client:
        found = client.audit()
    if as_json:
        emit(found)
    else:
        say(said(f"{found.accounts} accounts, {found.transfers} transfers, balances sum to {found.sum_fen} fen"))
    if not found.whole:
        wrong = ", ".join(found.wrong[:20]) or "none"
        raise InvalidRequest(f"the ledger is not whole: wrong accounts {wrong}, {found.unlogged} transfers not logged")


def evidence(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="The job.")],
    since: Since = None,
    output: Output = None,
) -> None:
    """Fetch a job's bill that proves itself; `suanwang verify` checks it."""
    size = None if since is None else _size_of(since)
    with network(context) as client:
        _write(client.evidence(job, since=size), output)


def paper(
    context: typer.Context,
    kind: Annotated[PaperKind, typer.Argument(help="What is to be proved.")],
    name: Annotated[
        str,
        typer.Argument(
            help="PROJECT/MONTH of an invoice, MONTH/BY of a statement, ACCOUNT/MONTH or ACCOUNT/DAY, "
            "AGREEMENT/VERSION/MONTH of a credit, an order or a voucher."
        ),
    ],
    since: Since = None,
    output: Output = None,
) -> None:
    """Fetch an invoice, statement, order, voucher, credit or account that proves itself; `suanwang verify` checks it."""
    size = None if since is None else _size_of(since)
    with network(context) as client:
        _write(client.paper(kind, name, since=size), output)


def trace(
    context: typer.Context,
    of: Annotated[str, typer.Argument(help="A job, a usage record (JOB-1:3) or a transfer (JOB-1:3/0).")],
    as_json: Json = False,
) -> None:
    """Follow a job from its first event to the last fen in each account, or a transfer back to what it is of."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit, said, say

    with network(context) as client:
        found = client.trace(of)
    if as_json:
        emit(found)
        return
    if found.origin is not None:
        moved = found.origin.transfer
        say(said(f"{moved.id}: {tables.fen(moved.amount_fen)}, {moved.debit} → {moved.credit}, leaf {moved.leaf}"))
        say(said(f"of {found.origin.of} {found.origin.name}"))
    if found.job is None:
        return
    say(f"{found.job}: {found.name}, {found.project}, {found.owner}, {found.state}")
    out = console()
    if found.events:
        out.print(_table(("at", "event", "site"), ((tables.instant(e.at), e.kind, e.site or "") for e in found.events)))
    rows: list[tuple[str, ...]] = []
    one = found.origin.usage if found.origin is not None else of
    records = [record for record in found.records if record.line.usage_id == one] or found.records
    if len(records) < len(found.records):
        say(said(f"record {one}, of {len(found.records)}; the whole job: suanwang trace {found.job}"))
    for record in records:
        line = record.line
        rows.append((line.usage_id, f"{line.rated_yuan:f}", tables.fen(line.amount_fen), "", "", ""))
        rows += [("", "", "", *_moved(each)) for each in record.transfers]
    uses = found.uses if len(records) == len(found.records) else []
    rows += [("", "", "", *_moved(each)) for each in uses]
    out.print(
        _table(("usage", "exactly", "amount", "transfer", "way", "moved"), rows, right=("exactly", "amount", "moved"))
    )
    change = Counter[str]()
    for paid in chain.from_iterable((*(record.transfers for record in records), uses)):
        if not _holds(paid):
            change[paid.debit] -= paid.amount_fen
            change[paid.credit] += paid.amount_fen
    gained = ((account, tables.fen(amount)) for account, amount in sorted(change.items()))
    out.print(_table(("account", "change"), gained, right=("change",)))


def _moved(each: ledger_models.TransferView) -> tuple[str, str, str]:
    return each.id, f"{each.debit} → {each.credit}", _shown(each, each.amount_fen)


def _holds(each: ledger_models.TransferView) -> bool:
    """Whether it moves nothing: it holds an amount, or lets go of one that was held."""
    return each.phase in (Phase.PENDING, Phase.VOID)


def _shown(each: ledger_models.TransferView, amount_fen: int) -> str:
    from suanwang.cli import tables
    from suanwang.cli.words import word

    if not _holds(each):
        return tables.fen(amount_fen)
    return word("is_held" if each.phase is Phase.PENDING else "is_released").format(tables.fen(each.amount_fen))


def _table(names: tuple[str, ...], rows: Iterable[tuple[str, ...]], right: tuple[str, ...] = ()) -> Table:
    from suanwang.cli import tables

    made = tables.table(*names, right=right)
    for row in rows:
        made.add_row(*row)
    return made


def verify(
    bill: Annotated[Path, typer.Argument(help="What `suanwang bill evidence` or `suanwang evidence` wrote.")],
    key: Annotated[
        str | None,
        typer.Option(help="The network's public key, as you know it from elsewhere.", show_default=False),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A checkpoint you kept: the bill's ledger must continue it.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a bill or another paper without the network: rates, sums, split, hashes, proofs, signature."""
    from suanwang.cli.terminal import emit, note, said, say
    from suanwang.trading.evidence import verify as check
    from suanwang.trading.proven import read_checkpoint

    older = None if checkpoint is None else read_checkpoint(_read(checkpoint))
    finding = check(_read(bill), key=key, older=older)
    if as_json:
        emit(_told(finding))
    for failure in finding.failures:
        note(f"{failure.check}: {failure.where}: {said(failure.message)}")
    if not finding.holds:
        raise InvalidRequest(
            f"the {finding.kind} does not hold: {len(finding.failures)} of its facts fail",
            field=str(bill),
            allowed=f"a whole {finding.kind}",
        )
    if as_json:
        return
    made = finding.checkpoint
    assert made is not None, "a bill that holds was read"
    yuan = f"¥{Decimal(finding.amount_fen) / 100:.2f}"
    if finding.kind == "bill":
        say(said(f"the bill of {finding.name} holds: {finding.lines} lines, {yuan}"))
    else:
        say(said(f"the {finding.kind} {finding.name} holds: {yuan}, {finding.lines} transfers"))
    if finding.sources:
        sources = ", ".join(finding.sources)
        say(said(f"unit prices of {finding.priced} lines follow from what the log had before their runs: {sources}"))
    for message in finding.unproved:
        note(f"not proved: {said(message)}")
    if finding.voucher_fen:
        say(said(f"vouchers paid ¥{Decimal(finding.voucher_fen) / 100:.2f} of it"))
    say(said(f"ledger of {made.size} leaves, signed {made.at:%Y-%m-%d %H:%M:%S} UTC by {made.key}"))
    if finding.unsettled:
        say(said(f"{len(finding.unsettled)} lines were not settled then"))
    if not finding.trusted:
        note("the key was not checked: give the network's own with --key")


def _told(finding: Finding) -> dict[str, Any]:
    return {
        "holds": finding.holds,
        "kind": finding.kind,
        "name": finding.name,
        "amount_fen": finding.amount_fen,
        "voucher_fen": finding.voucher_fen,
        "lines": finding.lines,
        "prices": {
            "lines": finding.priced,
            "follow_from": list(finding.sources),
            "not_proved": list(finding.unproved),
        },
        "unsettled": list(finding.unsettled),
        "key_checked": finding.trusted,
        "failures": [
            {"check": failure.check.value, "where": failure.where, "message": failure.message}
            for failure in finding.failures
        ],
    }


def fen_of(yuan: str) -> int:
    try:
        amount = Decimal(yuan) * 100
        whole = int(amount) if abs(amount) <= MOST_FEN else -1
    except (ArithmeticError, ValueError):
        whole, amount = -1, Decimal(0)
    if whole < 0 or whole != amount:
        raise UsageError(
            f"{yuan!r} is no amount", field="yuan", allowed="yuan with at most two decimals, such as 120.50"
        )
    return whole


def _changed(account: ledger_models.AccountView, as_json: bool) -> None:
    from suanwang.cli.terminal import console, emit

    if as_json:
        emit(account)
    else:
        console().print(_accounts([account]))


def _write(value: object, output: Path | None) -> None:
    from suanwang.cli.terminal import emit, note

    if output is None:
        emit(value)
        return
    output.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    note(f"written to {output}")


def _read(path: Path) -> Any:
    """The JSON value of a file somebody gave us. Raises `InvalidRequest`."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InvalidRequest(f"{path} is too large", field=str(path), allowed=f"up to {_LARGEST_FILE} bytes")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}", field=str(path), allowed="a JSON file") from None


def _size_of(path: Path) -> int:
    from suanwang.trading.proven import read_checkpoint

    return read_checkpoint(_read(path)).size


def _accounts(rows: list[ledger_models.AccountView]) -> Table:
    from suanwang.cli import tables

    made = tables.table(
        "account",
        "balance",
        "held",
        "credit_limit",
        "available",
        right=("balance", "held", "credit_limit", "available"),
    )
    for row in rows:
        limit_fen = "" if row.limit_fen is None else tables.fen(row.limit_fen)
        available = "" if row.available_fen is None else tables.fen(row.available_fen)
        made.add_row(row.id, tables.fen(row.balance_fen), tables.fen(row.held_fen), limit_fen, available)
    return made


def _transfers(account: str, rows: list[ledger_models.TransferView]) -> Table:
    from suanwang.cli import tables

    made = tables.table("at", "code", "with", "amount", "transfer", "leaf", right=("amount", "leaf"))
    for row in rows:
        paid = row.debit == account
        amount = _shown(row, -row.amount_fen if paid else row.amount_fen)
        other = row.credit if paid else row.debit
        made.add_row(tables.instant(row.at), row.code, other, amount, row.id, str(row.leaf))
    return made
