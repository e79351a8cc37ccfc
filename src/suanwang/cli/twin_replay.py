"""`suanwang twin replay`: what the live network ran, decided anew, beside the invoices that were really sent."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanwang.cli.exits import UsageError
from suanwang.cli.network import Home, settings_with
from suanwang.cli.options import Json

if TYPE_CHECKING:
    from suanwang.twin.rebilling import Invoices
    from suanwang.twin.recording import Recording

CHINA = timezone(timedelta(hours=8))
RECORDED, LIVE = "recorded", "live"


def replay(
    from_at: Annotated[str, typer.Option("--from", help="A day or a time, UTC+8 where it names no zone.")],
    to_at: Annotated[str, typer.Option("--to", help="Until then; jobs that came and ended between the two are taken.")],
    policies: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            help="recorded (as it was), live (decided anew), or what every job wants: cheapest, greenest, fastest, balanced.",
            show_default=False,
        ),
    ] = None,
    home: Home = None,
    database_url: Annotated[
        str | None, typer.Option("--database", help="The network's PostgreSQL server.", show_default=False)
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--invoices",
            help="A folder: writes POLICY/PROJECT-MONTH.json, which `invoice get` would write.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Replay what this network ran under other policies, invoices included. Runs where the control plane runs."""
    from suanwang.cli.terminal import console, emit, note
    from suanwang.domain.identity import Principal, Role
    from suanwang.twin.rebilling import documents, invoices
    from suanwang.twin.recording import record
    from suanwang.wiring.network import open_network

    begin, end = _instant(from_at, "from"), _instant(to_at, "to")
    chosen = list(dict.fromkeys([RECORDED, *(policies or (LIVE, "cheapest", "greenest"))]))
    _check(chosen)
    settings = settings_with(home=home, database_url=database_url)
    with open_network(settings) as opened:
        recording = record(opened.network, Principal(name="operator", role=Role.OPERATOR), begin, end)
    real = sum(recording.billed.values())
    found = {name: invoices(recording, _runs(recording, name)) for name in chosen}
    for name, one in found.items() if folder is not None else ():
        there = folder / name
        there.mkdir(parents=True, exist_ok=True)
        for called, document in documents(recording, one):
            (there / f"{called}.json").write_bytes(document)
    if as_json:
        emit({"jobs": len(recording.jobs), "left_out": list(recording.left_out), "billed_fen": real, **_said(found)})
        return
    for line in recording.left_out:
        note(line)
    console().print(_table(found, real))


def _runs(recording: Recording, name: str) -> Any:
    from suanwang.twin.replay import OBJECTIVES, as_recorded, replayed, with_objective

    if name == RECORDED:
        return as_recorded(recording)
    # As often as the live network decides, or nearly.
    turn = timedelta(seconds=10)
    return replayed(recording) if name == LIVE else replayed(recording, with_objective(OBJECTIVES[name]), turn=turn)


def _said(found: dict[str, Invoices]) -> dict[str, Any]:
    return {
        "policies": {
            name: {
                "by_project_fen": dict(one.by_project),
                "by_provider_fen": dict(one.by_provider),
                "voucher_fen": one.voucher_fen,
                "energy_kwh": one.energy_kwh,
                "carbon_g": one.carbon_g,
            }
            for name, one in found.items()
        }
    }


def _table(found: dict[str, Invoices], real_fen: int) -> Any:
    from rich.table import Table

    from suanwang.cli.terminal import chinese

    zh = chinese()
    projects = sorted({project for one in found.values() for project in one.by_project})
    made = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column("策略" if zh else "policy")
    for head in (*projects, "合计（元）" if zh else "all, yuan", "kWh", "kgCO2"):
        made.add_column(head, justify="right")
    made.add_row("已开账单" if zh else "really billed", *[""] * len(projects), f"{real_fen / 100:.2f}", "", "")
    for name, one in found.items():
        sums = [f"{one.by_project.get(project, 0) / 100:.2f}" for project in projects]
        total = sum(one.by_project.values()) / 100
        made.add_row(name, *sums, f"{total:.2f}", f"{one.energy_kwh:.3f}", f"{one.carbon_g / 1000:.3f}")
    return made


def _check(policies: list[str]) -> None:
    from suanwang.twin.replay import OBJECTIVES

    for name in policies:
        if name not in (RECORDED, LIVE, *OBJECTIVES):
            raise UsageError(
                f"there is no policy {name!r} here", field="policy", allowed=", ".join((RECORDED, LIVE, *OBJECTIVES))
            )


def _instant(text: str, field: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time", field=field, allowed="2026-03-01 or 2026-03-01T08:00") from None
    return found if found.tzinfo else found.replace(tzinfo=CHINA)
