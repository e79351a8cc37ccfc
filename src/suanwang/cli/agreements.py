"""Commands about agreements: keys, drafts, signatures, notice, and service credits.

Owns the caller's signing key: a file that this account alone reads. Signing happens here; the key never leaves.
"""

from __future__ import annotations

import os
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.exits import UsageError
from suanwang.cli.login import config_path
from suanwang.cli.options import Json, network

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from rich.table import Table

    from suanwang.client import Client, agreement_models

app = typer.Typer(no_args_is_help=True, help="Agreements 服务协议: key, draft, show, sign, end, list, credits.")
Name = Annotated[str, typer.Argument(metavar="AGREEMENT", help="The agreement's name.")]
Version = Annotated[
    int | None, typer.Option("--version", min=1, help="Which version; by default the newest.", show_default=False)
]
Key = Annotated[
    Path | None,
    typer.Option("--key", help="Your signing key's file; by default beside your login.", show_default=False),
]


@app.command()
def key(
    context: typer.Context,
    party: Annotated[
        str | None,
        typer.Argument(help="project:NAME or provider:NAME; by default who you are.", show_default=False),
    ] = None,
    path: Key = None,
    as_json: Json = False,
) -> None:
    """Register the key that you sign with; it is made where there is none."""
    from suanwang.cli.terminal import emit, say
    from suanwang.trading.agreements import key_bytes

    secret = _key(path, create=True)
    public = secret.public_key().public_bytes_raw().hex()
    with network(context) as client:
        who = party or _party(client)
        made = client.register_party_key(who, public, secret.sign(key_bytes(who, public)).hex())
    if as_json:
        emit(made)
    else:
        say(f"{made.party}  {made.fingerprint}")


@app.command()
def draft(
    context: typer.Context,
    name: Name,
    provider: Annotated[str, typer.Option(help="Whose sites it covers.")],
    site: Annotated[list[str], typer.Option(help="A site it covers; may be repeated.")],
    project: Annotated[str, typer.Option(help="The project that uses them.")],
    months: Annotated[int, typer.Option(min=1, max=120, help="For how many months, the first one counted.")] = 12,
    first: Annotated[str | None, typer.Option(help="First month, 2026-03; by default this one.")] = None,
    notice: Annotated[int, typer.Option(min=0, max=12, help="Whole months of notice.")] = 1,
    availability: Annotated[
        str | None,
        typer.Option(help="Percent of the month:percent of the bill, mildest first: 99.9:10,99:25", show_default=False),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Seconds from ready to start, p95:percent of the bill: 600:5,3600:10", show_default=False),
    ] = None,
    promised: Annotated[
        str | None,
        typer.Option(help="Percent of jobs with bought room that start in time: 99:10", show_default=False),
    ] = None,
    throughput: Annotated[
        str | None,
        typer.Option(
            help="Percent of the units that quotes reckoned with:percent of the bill: 80:5", show_default=False
        ),
    ] = None,
    within: Annotated[int, typer.Option(min=1, help="Seconds that is in time for --promised.")] = 60,
    approve_over: Annotated[
        str | None,
        typer.Option(help="Orders of so many yuan and more wait for approval of the named.", show_default=False),
    ] = None,
    approver: Annotated[
        list[str] | None,
        typer.Option(help="project:NAME or provider:NAME, a token's name; may be repeated.", show_default=False),
    ] = None,
    approve_within: Annotated[int, typer.Option(min=1, max=744, help="Hours to approve in.")] = 24,
    text: Annotated[Path | None, typer.Option(help="A file with what else you agree.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Write a version of terms; a name that exists gets its next version."""
    from suanwang.client import agreement_models as models
    from suanwang.trading.agreements import month_number, month_of, month_text

    begin = month_number(datetime.now().astimezone()) if first is None else month_of(first, "first")
    levels = [
        models.NewLevel(measure=measure, within_s=within if measure == "promised" else None, steps=steps)
        for measure, steps in (
            ("availability", _steps(availability, "availability", scale=10_000)),
            ("start", _steps(start, "start", scale=1)),
            ("promised", _steps(promised, "promised", scale=10_000)),
            ("throughput", _steps(throughput, "throughput", scale=10_000)),
        )
        if steps
    ]
    wanted = models.NewAgreement(
        id=name,
        project=project,
        provider=provider,
        sites=site,
        first_month=month_text(begin),
        last_month=month_text(begin + months - 1),
        notice_months=notice,
        levels=levels,
        text="" if text is None else text.read_text(encoding="utf-8"),
        approval=_approval(approve_over, approver or [], approve_within),
    )
    with network(context) as client:
        _shown(client.draft_agreement(wanted), as_json)


@app.command()
def show(context: typer.Context, name: Name, version: Version = None, as_json: Json = False) -> None:
    """A version: its terms, its signatures with their fingerprints, and the levels reached this month."""
    with network(context) as client:
        _shown(client.agreement(name, version), as_json)


@app.command()
def sign(context: typer.Context, name: Name, version: Version = None, path: Key = None, as_json: Json = False) -> None:
    """Sign a version with your registered key, after you have read it (`show`)."""
    import hashlib
    import json

    from suanwang.domain.errors import UnreadableReply
    from suanwang.trading.agreements import message_of

    secret = _key(path, create=False)
    public = secret.public_key().public_bytes_raw().hex()
    with network(context) as client:
        seen = client.agreement(name, version).agreement
        said = json.loads(seen.terms)
        if (said["id"], said["version"]) != (seen.id, seen.version):
            raise UnreadableReply("the network shows other terms than those asked for: nothing was signed")
        side = "provider" if client.whoami().role == "provider" else "project"
        digest = hashlib.sha256(seen.terms.encode()).hexdigest()
        message = message_of(seen.id, seen.version, digest, f"{side}:{said[side]}", public)
        _shown(client.sign_agreement(seen.id, seen.version, public, secret.sign(message).hex()), as_json)


@app.command()
def end(context: typer.Context, name: Name, version: Version = None, as_json: Json = False) -> None:
    """Withdraw or decline a version that is not signed by both; give notice of one that is."""
    with network(context) as client:
        seen = client.agreement(name, version).agreement
        _shown(client.end_agreement(seen.id, seen.version), as_json)


@app.command("list")
def list_agreements(context: typer.Context, as_json: Json = False) -> None:
    """Agreements of your side, newest first; all that were offered for operators and regulators."""
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = list(client.agreements())
    if as_json:
        emit(rows)
    else:
        console().print(_agreements(rows))


@app.command("credits")
def list_credits(
    context: typer.Context,
    evidence: Annotated[bool, typer.Option("--evidence", help="With the jobs and intervals that missed.")] = False,
    as_json: Json = False,
) -> None:
    """Months that were measured: the levels reached, and what the provider owes for those missed."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = list(client.service_credits())
    if as_json:
        emit(rows)
        return
    made = tables.table(
        "agreement", "version", "month", "billed", "amount", "paid", right=("version", "billed", "amount")
    )
    for row in rows:
        amounts = (tables.fen(row.bill_fen), tables.fen(row.amount_fen))
        paid = "✓" if row.paid else ""
        made.add_row(row.agreement, str(row.version), row.month, *amounts, paid if row.amount_fen else "")
    console().print(made)
    for row in rows if evidence else ():
        console().print(_reached(row))
        console().print(_misses(row))


def _approval(over: str | None, approvers: list[str], within_h: int) -> agreement_models.NewApproval | None:
    from suanwang.cli.market import fen_of
    from suanwang.client.agreement_models import NewApproval

    if over is None:
        if approvers:
            raise UsageError("say from what amount on", field="approve-over", allowed="yuan, such as 10000")
        return None
    named: dict[str, list[str]] = {"project": [], "provider": []}
    for each in approvers:
        side, _, name = each.partition(":")
        if side not in named or not name:
            raise UsageError(f"{each!r} names nobody", field="approver", allowed="project:NAME or provider:NAME")
        named[side].append(name)
    return NewApproval(
        over_fen=fen_of(over, "approve-over"),
        within_h=within_h,
        project=named["project"],
        provider=named["provider"],
    )


def _shown(seen: agreement_models.SeenAgreement, as_json: bool) -> None:
    from suanwang.cli.terminal import console, emit, say

    if as_json:
        emit(seen)
        return
    agreement = seen.agreement
    console().print(_agreements([agreement]))
    say(agreement.terms)
    say(f"SHA-256 {agreement.digest}")
    for each in agreement.signatures:
        say(f"{each.side}  {each.fingerprint}  {each.by}  {each.at:%Y-%m-%d %H:%M:%S} UTC")
    if seen.so_far is not None:
        console().print(_reached(seen.so_far))
        console().print(_misses(seen.so_far))


def _agreements(rows: list[agreement_models.AgreementView]) -> Table:
    from suanwang.cli import tables

    made = tables.table(
        *("agreement", "version", "state", "project", "provider", "site", "months", "signed_by"), right=("version",)
    )
    for row in rows:
        made.add_row(
            row.id,
            str(row.version),
            tables.state(row.state),
            row.project,
            row.provider,
            ", ".join(row.sites),
            f"{row.first_month} – {row.last_month}",
            ", ".join(each.by for each in row.signatures),
        )
    return made


def _reached(credit: agreement_models.CreditView) -> Table:
    from suanwang.cli import tables
    from suanwang.cli.words import word

    made = tables.table(
        *("month", "site", "measure", "reached", "missed", "billed", "credit", "amount"),
        right=("reached", "missed", "billed", "credit", "amount"),
    )
    for level in credit.levels:
        made.add_row(
            credit.month,
            level.site,
            word(f"level {level.measure}"),
            _value(level),
            str(level.missed),
            tables.fen(level.bill_fen),
            f"{Decimal(level.credit_bp) / 100:f} %",
            tables.fen(level.amount_fen),
        )
    return made


def _misses(credit: agreement_models.CreditView) -> Table:
    from suanwang.cli import tables
    from suanwang.cli.words import word

    made = tables.table("site", "measure", "job", "at", "until", "leaf")
    made.columns[-1].header = "seq"
    for level in credit.levels:
        for miss in level.misses:
            made.add_row(
                level.site,
                word(f"level {level.measure}"),
                miss.job or "",
                tables.instant(miss.from_at),
                tables.instant(miss.to_at),
                ", ".join(str(seq) for seq in miss.events),
            )
    return made


def _value(level: agreement_models.ReachedView) -> str:
    if level.value is None:
        return "–"
    return f"{level.value / 1000:g} s" if level.measure == "start" else f"{Decimal(level.value) / 10_000:f} %"


def _steps(text: str | None, field: str, *, scale: int) -> list[agreement_models.NewStep]:
    """Reads `BOUND:PERCENT,…`."""
    from pydantic import ValidationError

    from suanwang.client import agreement_models as models

    try:
        pairs = [part.split(":") for part in (text or "").split(",") if part]
        made = [(Decimal(bound) * scale, Decimal(credit) * 100) for bound, credit in pairs]
        if any(number != int(number) for pair in made for number in pair):
            raise ValueError
        return [models.NewStep(bound=int(bound), credit_bp=int(credit)) for bound, credit in made]
    except (ArithmeticError, ValueError, ValidationError):
        raise UsageError(
            f"{text!r} says no steps", field=field, allowed="BOUND:PERCENT, mildest first, such as 99.9:10,99:25"
        ) from None


def _party(client: Client) -> str:
    me = client.whoami()
    if me.provider:
        return f"provider:{me.provider}"
    if not me.projects:
        raise UsageError("say for whom", field="party", allowed="project:NAME or provider:NAME")
    return f"project:{me.projects[0]}"


def _key(path: Path | None, *, create: bool) -> Ed25519PrivateKey:
    """The key in `path`. Raises `InvalidRequest`, which does not repeat it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from suanwang.domain.errors import InvalidRequest

    path = path or config_path().with_name("agreement-key")
    if create and not path.exists():
        made = Ed25519PrivateKey.generate()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(made.private_bytes_raw().hex() + "\n")
        return made
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text(encoding="utf-8").strip()))
    except (OSError, ValueError):
        raise InvalidRequest(
            f"{path} holds no signing key", field=str(path), allowed="the file that `agreement key` made"
        ) from None
