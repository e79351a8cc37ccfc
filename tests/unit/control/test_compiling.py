"""Large plans while their kernels are compiled beside the control plane."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

from tests.factories import NOW, job, seconds, site, snapshot

from suanwang.scheduling import seating
from suanwang.scheduling.placing import decide, explain
from suanwang.scheduling.plan import Place
from suanwang.scheduling.policies.compiled import USED, _folder
from suanwang.wiring.compiling import Compiling, sweep


def test_until_kernels_are_compiled_the_first_jobs_are_decided_on() -> None:
    seen = snapshot([site("guian")], [job(f"j-{n}", ready_at=NOW - seconds(n)) for n in range(5)])
    with patch.object(seating, "PLAIN", 2), closing(Compiling(["sleep", "600"])) as compiling:
        plan = compiling.decide(seen)
    assert [place.job.id for place in plan.places] == ["j-4", "j-3"]
    assert plan.stays == 3


def test_afterwards_all_are_and_few_are_always() -> None:
    seen = snapshot([site("guian")], [job(f"j-{n}") for n in range(5)])
    compiling = Compiling(["sleep", "600"])
    assert compiling.decide(seen) == decide(seen)
    compiling.close()  # Nothing was begun.
    with patch.object(seating, "PLAIN", 0):
        assert compiling.decide(seen).stays == 5
        compiling.close()
        assert compiling.decide(seen) == decide(seen)


def test_who_asks_why_never_waits_for_the_compiler() -> None:
    """However many sites and jobs there are, and with the answer that compiled kernels give."""
    seen = snapshot([site("guian"), site("wuhu")], [job(f"j-{n}", ready_at=NOW + seconds(n)) for n in range(5)])
    with patch.object(seating, "PLAIN", 0):
        planned = {place.job.id: place.site for place in decide(seen).places}
        with patch.object(seating, "compiled", side_effect=AssertionError("compiled")):
            found = [explain(seen, one) for one in seen.jobs]
    assert [one.site for one in found if isinstance(one, Place)] == list(planned.values())
    assert len(found) == len(planned) == 5


DAY_S = 86400.0
HOLDING = "import fcntl, os, sys; f = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(f, fcntl.LOCK_SH); print(flush=True); input()"


def kept(base: Path, name: str, used_s: float | None, changed_s: float) -> Path:
    folder = base / name
    (folder / "joint").mkdir(parents=True)
    (folder / "joint" / "weigh.nbc").write_bytes(b"code")
    if used_s is not None:
        (folder / USED).touch()
        os.utime(folder / USED, (used_s, used_s))
    os.utime(folder, (changed_s, changed_s))
    return folder


def test_kernels_that_nobody_has_used_for_long_are_swept(tmp_path: Path) -> None:
    now_s = 100 * DAY_S
    old = kept(tmp_path, "0123456789abcdef", used_s=now_s - 31 * DAY_S, changed_s=now_s)
    before = kept(tmp_path, "1123456789abcdef", used_s=None, changed_s=now_s - 31 * DAY_S)
    stays = [
        kept(tmp_path, "2123456789abcdef", used_s=now_s - 29 * DAY_S, changed_s=0),
        kept(tmp_path, "3123456789abcdef", used_s=None, changed_s=now_s - 29 * DAY_S),
        kept(tmp_path, "not-ours", used_s=None, changed_s=0),
    ]
    (tmp_path / "4123456789abcdef").symlink_to(stays[2])
    assert sweep(tmp_path, now_s) == 2
    assert not old.exists()
    assert not before.exists()
    assert all((folder / "joint" / "weigh.nbc").exists() for folder in stays)
    assert sweep(tmp_path, now_s) == sweep(tmp_path / "nowhere", now_s) == 0


def test_kernels_that_a_process_uses_are_not_swept(tmp_path: Path) -> None:
    folder = kept(tmp_path, "0123456789abcdef", used_s=0, changed_s=0)
    command = [sys.executable, "-c", HOLDING, str(folder / USED)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        user.stdout.readline()
        assert sweep(tmp_path, 100 * DAY_S) == 0
        user.communicate(b"\n")
    assert sweep(tmp_path, 100 * DAY_S) == 1


def test_who_compiles_says_that_it_uses_its_folder(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "1")
    assert _folder(tmp_path, "1") == folder
    os.utime(folder / USED, (0, 0))
    assert sweep(tmp_path, 100 * DAY_S) == 0, "it is used by this process"
    assert folder.name != _folder(tmp_path, "2").name
