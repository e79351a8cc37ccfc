"""`suanwang demo`: bring the network up, give it work, stop a site, show the end, and take everything down again.

Owns the demo's course and its verdict.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from suanwang.cli.exits import JobFailed
from suanwang.cli.terminal import chinese, console, emit
from suanwang.demo import checking, showing, work
from suanwang.demo.processes import Children
from suanwang.demo.stage import Stage, bring_up
from suanwang.domain.errors import Unavailable
from suanwang.domain.lifecycle import JobState, SiteState

if TYPE_CHECKING:
    from rich.console import Console

    from suanwang.client import models

WORK_S = 240.0
"""Longest the work may take before the demo gives up."""
LOOK_S = 0.4


def run_demo(*, once: bool, port: int, home: Path | None, as_json: bool) -> None:
    """Run the demo; with `once` it ends with the work, else at Ctrl-C.

    Raises `JobFailed` naming everything that did not go as it should, and `Unavailable` where a part does not come up.
    """
    out = console(stderr=as_json)
    with _terminable() as told, ExitStack() as closing:
        folder = _folder(home, closing)
        children = Children(folder)
        closing.callback(children.end_all)
        zh = chinese()
        with showing.Show(out, chinese=zh) as show:
            stage = bring_up(home=folder, port=port, children=children, closing=closing, chinese=zh, tell=show.tell)
            show.tell(f"the page: {login_link(stage)}", f"网页：{login_link(stage)}")
            evidence, stopped = _play(stage, show, told)
        wrong = checking.problems(evidence, stopped)
        _conclude(out, stage, evidence, wrong, zh=zh)
        if as_json:
            emit(_report(stage, evidence, stopped, wrong))
        if wrong and once:
            raise JobFailed("the demo did not go as it should:\n    " + "\n    ".join(wrong))
        if not once:
            _stay(out, stage, stopped, told, zh=zh)
        if wrong:
            raise JobFailed("the demo did not go as it should:\n    " + "\n    ".join(wrong))


def _folder(home: Path | None, closing: ExitStack) -> Path:
    if home is None:
        return Path(
            closing.enter_context(tempfile.TemporaryDirectory(prefix="suanwang-demo-", ignore_cleanup_errors=True))
        )
    home.mkdir(parents=True, exist_ok=True)
    return home.resolve()


@contextmanager
def _terminable() -> Iterator[threading.Event]:
    """TERM ends the demo as Ctrl-C does, so that whatever it started is ended too.

    The event says that somebody asked: an interrupt that lands in a finalizer is lost, and whoever waits looks here too.
    """
    told = threading.Event()

    def interrupt(*_: object) -> None:
        told.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pause(seconds: float, told: threading.Event) -> None:
    """Raises `KeyboardInterrupt` once somebody asked for the end."""
    if told.wait(seconds):
        raise KeyboardInterrupt


def login_link(stage: Stage) -> str:
    """The page's address with which a browser is logged in as the demo's user.

    The token stands behind the `#`, which browsers keep to themselves: it is in no request line and in no log.
    """
    return f"{stage.url}/login#token={quote(stage.user_token)}"


def _play(stage: Stage, show: showing.Show, told: threading.Event) -> tuple[checking.Evidence, checking.Stopped | None]:
    """Submit the six, watch, stop the training's site in mid-run, and wait for the end of it all."""
    done = work.submit_all(stage)
    ids = frozenset(job.id for one in done.values() for job in one.jobs)
    refused_at_once = _is_refused(done)
    show.tell(f"{len(ids)} jobs submitted", f"已提交 {len(ids)} 个作业")
    stopped: checking.Stopped | None = None
    teller = _Teller(show)
    give_up_at = time.monotonic() + WORK_S
    while True:
        seen = work.look(stage, ids)
        show.update(seen)
        teller.hear(seen)
        if seen.over:
            return checking.gather(stage, seen, refused_at_once), stopped
        if stopped is None and (site := work.may_be_stopped(seen)) is not None:
            killed = stage.black_out(site)
            stopped = checking.Stopped(site=site, epoch=seen.epoch)
            name_en = seen.sites[site].offering.name_en
            name_zh = seen.sites[site].offering.name_zh
            show.tell(
                f"{name_en} goes dark in epoch {seen.epoch}: its agent and its runs are killed ({killed} processes)",
                f"{name_zh} 在第 {seen.epoch} 轮断电：代理与作业进程全部被杀（{killed} 个）",
            )
        stage.children.check()
        if time.monotonic() > give_up_at:
            left = ", ".join(f"{j.name} {j.state}" for js in seen.jobs.values() for j in js if j.ended_at is None)
            raise Unavailable(f"the work did not end within {WORK_S:.0f} s: {left}")
        _pause(LOOK_S, told)


def _is_refused(done: Mapping[str, models.Submitted]) -> bool:
    """Whether the answer to the submission itself said that no site can run it."""
    return all(job.state is JobState.REFUSED for job in done[work.IMPOSSIBLE.file].jobs)


class _Teller:
    """Turns what changed between two looks into lines of the story."""

    def __init__(self, show: showing.Show) -> None:
        self._show = show
        self._before: work.Look | None = None

    def hear(self, seen: work.Look) -> None:
        before, self._before = self._before, seen
        if before is None:
            return
        for site, view in seen.sites.items():
            was = before.sites[site].state if site in before.sites else None
            if view.state is not was and view.state in (SiteState.SUSPECT, SiteState.LOST):
                lost = view.state is SiteState.LOST
                name = view.offering
                self._show.tell(
                    f"{name.name_en} is {'lost: its leases are over, its work may start elsewhere' if lost else 'silent'}",
                    f"{name.name_zh}{'失联：租约到期，作业可在别处启动' if lost else '没有音讯'}",
                )
        if len(seen.sites_of_training) > len(before.sites_of_training) > 0:
            name = seen.sites[seen.sites_of_training[-1]].offering
            self._show.tell(
                f"the training moves to {name.name_en}, with its checkpoint", f"训练带着检查点转到 {name.name_zh}"
            )
        for piece in work.PIECES:
            if not _ended(before, piece) and _ended(seen, piece):
                self._show.tell(f"done: {piece.english}", f"完成：{piece.chinese}")


def _ended(seen: work.Look, piece: work.Piece) -> bool:
    jobs = seen.of(piece)
    return bool(jobs) and all(job.ended_at is not None for job in jobs)


def _conclude(out: Console, stage: Stage, found: checking.Evidence, wrong: list[str], *, zh: bool) -> None:
    out.print()
    out.print(showing.final_report(found, chinese=zh, width=out.width))
    out.print()
    if zh:
        out.print("演示站点的加速卡仅为声明，作业实际运行在本机处理器上。", style="dim")
    else:
        out.print(
            "The sites' devices are declared, not there: the work ran on this machine's own processor.", style="dim"
        )
    for line in wrong:
        out.print(f"✗ {line}", style="red")
    if not wrong:
        out.print("六项全部符合预期。" if zh else "All six did what they should.", style="green")
    out.print(f"{'网页' if zh else 'The page'}: {login_link(stage)}", soft_wrap=True)


def _stay(out: Console, stage: Stage, stopped: checking.Stopped | None, told: threading.Event, *, zh: bool) -> None:
    """Until Ctrl-C. The stopped site comes back, as a real one would."""
    if stopped is not None:
        stage.start_agent(stopped.site)
    out.print("网络保持运行，按 Ctrl-C 结束。" if zh else "The network stays up until Ctrl-C.")
    out.print(
        f"  export SUANWANG_URL={stage.url} SUANWANG_TOKEN={stage.user_token}\n  suanwang job list", soft_wrap=True
    )
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            _pause(1.0, told)
            stage.children.check()


def _report(
    stage: Stage, found: checking.Evidence, stopped: checking.Stopped | None, wrong: list[str]
) -> Mapping[str, object]:
    """For `--json`."""
    return {
        "url": stage.url,
        "jobs": list(found.details.values()),
        "sites_of_training": found.look.sites_of_training,
        "stopped": None if stopped is None else {"site": stopped.site, "epoch": stopped.epoch},
        "bill_fen": found.bill_fen,
        "problems": wrong,
    }
