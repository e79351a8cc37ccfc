"""The whole trade on a real Slurm cluster: listed, quoted, bought, run, metered, billed, paid to everybody, and proved.

Each party acts with a token of its own, mostly through the command line; then every fen is followed from the job's first
event to the account it came to rest on.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from tests.services.cli_process import run as command
from tests.services.network_fixture import OPERATOR, PROJECT, RealNetwork
from tests.services.slurm_fixture import reachable_folder, slurm

from suanwang.client import Client, ledger_models, models
from suanwang.domain.identity import Role
from suanwang.domain.job import AllocationState
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.testbed.slurm import SlurmTestbed
from suanwang.trading.ledger import Phase

__all__ = ["slurm"]

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("slurm"), pytest.mark.timeout(180)]

SITE, DEVICE = "shared", "huawei-ascend-910b"
PROVIDER, UNIVERSITY, INVESTOR = "贵安云", "贵州大学", "安顺数据"
OWNERS = {PROVIDER: Fraction(1, 2), UNIVERSITY: Fraction(1, 3), INVESTOR: Fraction(1, 6)}
COMMISSION = Fraction(2, 100)
NETWORK, MARKET, VOUCHER = "operator:network", "operator:market", "voucher:cd-001"
DUE = {f"provider:{name}": share * (1 - COMMISSION) for name, share in OWNERS.items()} | {NETWORK: COMMISSION}
"""What each party gets of a bill."""
TOP_UP_FEN, BUDGET_FEN, VOUCHER_FEN, SHARE = 100_000, 80_000, 50_000, Fraction(30, 100)
ASKED_FEN, CARDS, HOURS = 1234, 2, 2
"""What the provider asks for a card and hour, and what is bought of it."""
SITE_FILE = f"""\
id: {SITE}
name: {{zh: 三家合办, en: Owned by three}}
provider: {PROVIDER}
owners: {{{", ".join(f"{name}: {share}" for name, share in OWNERS.items())}}}
region: guizhou
place: 贵安
nodes: 2
cores_per_node: 4
memory_per_node: 4GB
devices: [{{model: {DEVICE}, per_node: 8, price: 720, gres: ascend910b}}]
price: {{core_hour: 3600}}
pue: 1.2
connector: {{kind: slurm, conf: CONF}}
"""
TASK = f"""\
name: NAME
run: echo "$SLURM_GPUS_ON_NODE cards"; sleep 3
resources: {{cores: 1, memory: 200MB, devices: {CARDS} x {DEVICE}, time_limit: 5m}}
"""


@pytest.fixture
def net(slurm: SlurmTestbed) -> Iterator[RealNetwork]:
    """A control plane over PostgreSQL with a project that has to pay in advance, and no site yet."""
    with reachable_folder() as folder:
        network = RealNetwork(folder, slurm)
        try:
            network.start_control_plane()
            network.operator.create_project(PROJECT, "Laboratory")
            yield network
        finally:
            network.down()


class Party:
    """Somebody who uses the command line with a token of his own."""

    def __init__(self, net: RealNetwork, token: str) -> None:
        self._net = net
        self._token = token

    def say(self, *words: str, stdin: str = "") -> str:
        done = command(
            *words, home=self._net.folder, stdin=stdin, SUANWANG_URL=self._net.url, SUANWANG_TOKEN=self._token
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}\n{self._net.processes.words()}"
        return done.stdout

    def ask(self, *words: str, stdin: str = "") -> Any:
        return json.loads(self.say(*words, "--json", stdin=stdin))


def a_party(
    net: RealNetwork, name: str, role: Role, *, projects: Sequence[str] = (), provider: str | None = None
) -> Party:
    return Party(net, net.operator.create_token(name, role, projects=projects, provider=provider).secret)


def join(net: RealNetwork, operator: Party) -> None:
    """The co-owned site's agent joins, and Slurm's cards are seen through it."""
    text = SITE_FILE.replace("CONF", str(net.cluster("gz").conf))
    (net.folder / f"{SITE}.yaml").write_text(text, encoding="utf-8")
    net.start_agent(SITE, join=operator.say("site", "invite", f"{SITE}.yaml").strip())

    def reachable() -> bool:
        site = net.operator.site(SITE)
        return site.state is SiteState.REACHABLE and site.measured is not None and site.measured.devices == {DEVICE: 16}

    net.until("the site is reachable", reachable)


def settled(net: RealNetwork, job_id: str) -> models.JobDetail:
    """The job, ended well, and every line of its bill settled."""

    def done() -> models.JobDetail | None:
        job = net.operator.job(job_id)
        assert job.state not in (JobState.FAILED, JobState.REFUSED, JobState.CANCELLED), (
            job.reason,
            net.processes.words(),
        )
        ended = job.state is JobState.SUCCEEDED and net.operator.unsettled() == (0, 0)
        return (
            job if ended and len(list(net.operator.bill_lines(job=job_id))) == len(net.operator.usage(job_id)) else None
        )

    found = net.until(f"{job_id} has ended and is settled", done)
    assert found is not None
    return found


def all_transfers(client: Client) -> list[ledger_models.TransferView]:
    """Each transfer once; every one is in both its accounts' histories."""
    seen: dict[str, ledger_models.TransferView] = {}
    found: dict[str, int] = defaultdict(int)
    for account in client.accounts():
        for transfer in client.transfers(account.id):
            seen[transfer.id] = transfer
            found[transfer.id] += 1
    assert set(found.values()) == {2}
    return list(seen.values())


def moved(transfers: Sequence[ledger_models.TransferView]) -> dict[str, int]:
    """Account → what these transfers brought it in all; what is only held, or given back of a hold, moves nothing."""
    sums: dict[str, int] = defaultdict(int)
    for transfer in transfers:
        if transfer.phase in (Phase.DIRECT, Phase.POST):
            sums[transfer.debit] -= transfer.amount_fen
            sums[transfer.credit] += transfer.amount_fen
    return dict(sums)


def followed(
    net: RealNetwork, job: models.JobDetail, transfers: Sequence[ledger_models.TransferView]
) -> Mapping[str, int]:
    """From the job's events to its run, its records, its lines, their chains, and what each party got of it, in fen."""
    events = net.operator.events(job=job.id).items
    assert [event.kind for event in events] == ["job.accepted", "job.leased", "job.started", "job.succeeded"]
    (allocation,) = net.operator.allocations(job.id)
    assert allocation.state is AllocationState.ENDED
    assert allocation.started_at is not None
    assert events[0].at == job.submitted_at <= events[1].at
    assert allocation.started_at <= events[2].at
    records = sorted(net.operator.usage(job.id), key=lambda record: record.from_at)
    assert (records[0].from_at, records[-1].to_at) == (allocation.started_at, allocation.ended_at)
    assert all(before.to_at == after.from_at for before, after in pairwise(records))
    lines = {line.usage_id: line for line in net.operator.bill_lines(job=job.id)}
    assert sorted(lines) == sorted(record.id for record in records)
    assert sum(line.amount_fen for line in lines.values()) == job.billed_fen > 0
    paid: dict[str, int] = defaultdict(int)
    for usage_id, line in lines.items():
        sums = moved([transfer for transfer in transfers if transfer.chain == f"bill/{usage_id}"])
        payers = {f"project:{PROJECT}", VOUCHER}
        assert -sum(sums.get(payer, 0) for payer in payers) == line.amount_fen
        assert sum(amount for account, amount in sums.items() if account not in payers) == line.amount_fen
        for account, amount in sums.items():
            paid[account] += amount
    assert -paid[VOUCHER] == job.billed_fen * SHARE // 1
    assert sum(paid.values()) == 0
    assert set(paid) == {f"project:{PROJECT}", VOUCHER, *DUE}
    return paid


def test_the_whole_trade_on_a_real_cluster(net: RealNetwork) -> None:
    operator = Party(net, OPERATOR)
    provider = a_party(net, "provider", Role.PROVIDER, provider=PROVIDER)
    owner = a_party(net, "owner", Role.PROVIDER, provider=UNIVERSITY)
    user = a_party(net, "researcher", Role.USER, projects=[PROJECT])
    regulator = a_party(net, "regulator", Role.REGULATOR)
    join(net, operator)

    # Listed, funded, issued; the project owes nothing, ever.
    provider.say("offer", "put", SITE, DEVICE, "--count", "4", "--from", "now", "--hours", "6",
                 "--price", f"{ASKED_FEN / 100:.2f}", "--id", "cards-of-today")  # fmt: skip
    net.operator.top_up(PROJECT, TOP_UP_FEN, key="bank-1")
    net.operator.set_limit(PROJECT, 0)
    net.operator.label_project(PROJECT, organisation="清华大学")
    net.operator.fund_vouchers("成都", BUDGET_FEN, key="bank-2")
    until = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"
    operator.say("voucher", "issue", "cd-001", str(VOUCHER_FEN // 100), "--issuer", "成都", "--organisation", "清华大学",
                 "--until", until, "--domestic", "--share", "30")  # fmt: skip
    user.say("wallet", "checkpoint", "-o", "old.json")

    # Quoted, bought, run.
    wish = ("order", "buy", "--device", "npu", "--count", str(CARDS), "--from", "now", "--hours", str(HOURS))
    said = user.ask(*wish, "--quote")
    bought = user.ask(*wish, "--id", "two-cards-two-hours")
    assert (said["amount_fen"], bought["state"], bought["filled"]) == (bought["paid_fen"], "filled", CARDS)
    (right,) = user.ask("order", "rights")
    quote = user.ask("quote", "-", stdin=TASK.replace("NAME", "quoted"))
    assert (quote["offers"][0]["site"], quote["offers"][0]["device_model"]) == (SITE, DEVICE)
    held = user.ask("submit", "-", "--reservation", right["id"], stdin=TASK.replace("NAME", "held"))["jobs"][0]["id"]
    quoted = user.ask("submit", "-", "--quote", quote["id"], stdin=TASK.replace("NAME", "quoted"))["jobs"][0]["id"]
    jobs = [settled(net, held), settled(net, quoted)]
    for job in jobs:
        assert (job.site, job.attempts) == (SITE, 1)
        (run,) = net.operator.allocations(job.id)
        assert net.operator.logs(job.id).items[0].text == f"{CARDS} cards\n"
        assert f"gpu:ascend910b:{CARDS}" in net.cluster("gz").command("scontrol", "show", "job", str(run.native_id))
    # Cards on the right were paid with it; a quoted job pays them by the second.
    costs = [float(job.usage.cost_yuan) / job.usage.wall_s for job in jobs]
    assert costs == pytest.approx([1.0, 1.0 + CARDS * 0.2], rel=1e-6)

    # Every number from the first event to the last account.
    transfers = all_transfers(net.operator)
    parts = [followed(net, job, transfers) for job in jobs]
    # Parts are rounded by what the project used of the site in the month, so only all of it is within a fen.
    for account, share in DUE.items():
        exact = share * sum(job.billed_fen for job in jobs)
        assert abs(sum(part[account] for part in parts) - exact) < 1, account
    (trade,) = net.operator.trades(order=bought["id"])
    sale = moved([transfer for transfer in transfers if transfer.chain == f"trade/{bought['id']}"])
    earned = trade.amount_fen - trade.commission_fen
    assert earned >= ASKED_FEN * CARDS * HOURS
    assert trade.commission_fen == int(trade.amount_fen * COMMISSION)
    assert sale.pop(MARKET) == 0
    assert sale.pop(f"project:{PROJECT}") == -bought["paid_fen"] == -trade.amount_fen
    assert sale.pop(NETWORK) == trade.commission_fen
    assert sum(sale.values()) == earned
    # A tenth is kept back until the hours were delivered.
    kept = sum(sale.pop(name) for name in list(sale) if name.startswith("deposit:"))
    assert kept == trade.amount_fen // 10
    earned -= kept
    assert set(sale) == {f"provider:{name}" for name in OWNERS}
    for name, part in OWNERS.items():
        assert abs(sale[f"provider:{name}"] - earned * part) < 1, name

    explained = {f"bill/{line.usage_id}" for job in jobs for line in net.operator.bill_lines(job=job.id)}
    rest = moved([t for t in transfers if t.chain not in explained and t.chain != f"trade/{bought['id']}"])
    budgets = {account for account in rest if account.startswith("issuer:")}
    assert {account: fen for account, fen in rest.items() if account not in budgets} == {
        "outside:bank": -TOP_UP_FEN - BUDGET_FEN, f"project:{PROJECT}": TOP_UP_FEN, VOUCHER: VOUCHER_FEN,
    }  # fmt: skip
    assert sum(rest[account] for account in budgets) == BUDGET_FEN - VOUCHER_FEN
    accounts = {account.id: account for account in net.operator.accounts()}
    assert {name: account.balance_fen for name, account in accounts.items()} == {
        **dict.fromkeys(accounts, 0), **moved(transfers),
    }  # fmt: skip
    assert sum(account.balance_fen for account in accounts.values()) == 0
    assert all(account.held_fen == 0 for account in accounts.values())

    # What each of them is told.
    billed = sum(job.billed_fen for job in jobs)
    subsidised = sum(int(job.billed_fen * SHARE) for job in jobs)
    mine = user.ask("wallet", "show", f"project:{PROJECT}")["account"]
    assert mine["balance_fen"] == TOP_UP_FEN - trade.amount_fen - billed + subsidised
    share = owner.ask("wallet", "show", f"provider:{UNIVERSITY}")["account"]
    assert share["balance_fen"] == accounts[f"provider:{UNIVERSITY}"].balance_fen > 0
    (watched,) = regulator.ask("voucher", "report")
    assert (watched["voucher"]["used_fen"], watched["voucher"]["left_fen"]) == (subsidised, VOUCHER_FEN - subsidised)
    assert sum(use["billed_fen"] for use in watched["uses"]) == billed
    assert regulator.ask("wallet", "audit")["whole"] is True
    assert_invoiced(net, billed, subsidised, trade.amount_fen)

    # Proven with the network gone, by what was kept before it all.
    for job in jobs:
        user.say("bill", "evidence", job.id, "--since", "old.json", "-o", f"{job.id}.json")
    month = datetime.now(timezone(timedelta(hours=8))).strftime("%Y-%m")
    papers = {"order": trade.order, "invoice": f"{PROJECT}/{month}", "account": f"project:{PROJECT}/{month}"}
    for kind, name in papers.items():
        user.say("evidence", kind, name, "--since", "old.json", "-o", f"{kind}.json")
    net.down()
    old = json.loads((net.folder / "old.json").read_text())
    assert old["size"] > 0
    for job in jobs:
        words = ("verify", f"{job.id}.json", "--key", old["key"], "--checkpoint", "old.json", "--json")
        done = command(*words, home=net.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads(done.stdout)
        assert (told["holds"], told["amount_fen"], told["unsettled"]) == (True, job.billed_fen, [])
        assert told["voucher_fen"] == int(job.billed_fen * SHARE)
    for kind, name in papers.items():
        done = command("verify", f"{kind}.json", "--key", old["key"], "--checkpoint", "old.json", home=net.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"the {kind} {name} holds" in done.stdout


def assert_invoiced(net: RealNetwork, billed: int, subsidised: int, purchased: int) -> None:
    """The project's invoices of these months (it may just be the night of a new one) say the same."""
    now = datetime.now(timezone(timedelta(hours=8)))
    months = sorted({f"{at:%Y-%m}" for at in (now - timedelta(hours=1), now)})
    invoices = [net.operator.invoice(PROJECT, month) for month in months]
    assert sum(invoice.usage.amount_fen for invoice in invoices) == billed
    assert sum(invoice.voucher_fen for invoice in invoices) == subsidised
    assert sum(invoice.purchased_fen for invoice in invoices) == purchased
    assert sum(invoice.due_fen for invoice in invoices) == billed + purchased - subsidised
    assert sum(invoice.unsettled_fen for invoice in invoices) == 0
