"""A control plane in a process of its own, as `suanwang serve` runs it, and what a benchmark asks of it.

    python -m benchmarks.served HOME

Owns the start and end of that process. It writes its address and token to HOME/ready.json, and what it logs to HOME/log.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A control plane that answers."""

    pid: int
    home: Path
    port: int
    client: httpx.Client
    """Speaks as the operator."""

    def resident_mb(self) -> tuple[float, float]:
        """Megabytes (10^6) of this process now, and at most since its start."""
        peak = next(
            line for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if line.startswith("VmHWM")
        )
        return psutil.Process(self.pid).memory_info().rss / 1e6, int(peak.split()[1]) * 1024 / 1e6

    def processor_s(self) -> float:
        """Processor seconds of this process since its start."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def database_mb(self) -> float:
        """Megabytes of all the embedded server's processes, shared pages counted once."""
        (pid_file,) = self.home.rglob("postmaster.pid")
        server = psutil.Process(int(pid_file.read_text().split()[0]))
        return sum(float(one.memory_full_info().pss) for one in (server, *server.children(recursive=True))) / 1e6


@contextmanager
def served(home: Path) -> Iterator[Served]:
    """A control plane over what is in `home`."""
    ready = home / "ready.json"
    with (home / "log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.served", str(home)], stdout=log, stderr=log)
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError(f"the control plane did not start: {(home / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        said = json.loads(ready.read_text())
        with httpx.Client(
            base_url=said["url"], headers={"Authorization": f"Bearer {said['token']}"}, timeout=120
        ) as client:
            yield Served(pid=process.pid, home=home, port=int(said["url"].rpartition(":")[2]), client=client)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        ready.unlink(missing_ok=True)
        _wait_for_database(home)


def _wait_for_database(home: Path) -> None:
    """The embedded server ends after its last user, and writes what it holds first."""
    for _ in range(600):
        if not any(home.rglob("postmaster.pid")):
            return
        time.sleep(0.1)


def main() -> None:
    from suanwang.serving import Serving, serve
    from suanwang.settings import Settings

    def ready(serving: Serving) -> None:
        part = Path(sys.argv[1]) / ".ready.part"
        part.write_text(json.dumps({"url": serving.url, "token": serving.operator_token}))
        part.replace(part.with_name("ready.json"))

    # Nothing is measured about silence: a site that spoke once counts as there.
    settings = {"home": sys.argv[1], "port": 0, "suspect_after_s": 3600, "lease_ttl_s": 7200}
    serve(Settings.model_validate(settings), on_ready=ready)


if __name__ == "__main__":
    main()
