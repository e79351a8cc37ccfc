"""The testbed of two real Slurm clusters, once per test session; import `slurm` into a test file to use it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from suanwang.testbed.slurm import APT_PACKAGES, SlurmTestbed, missing_programs


def services_required() -> bool:
    """Whether a missing service is a failure, as in CI, or a reason to skip."""
    return os.environ.get("CI", "").lower() == "true" or os.environ.get("SUANWANG_REQUIRE_SERVICES") == "1"


def need_slurm(*, rest: bool) -> None:
    """Skips, or fails where services are required, when this machine cannot run the testbed."""
    lacking = ", ".join(missing_programs(rest=rest))
    reason = f"needs {lacking}: apt-get install {APT_PACKAGES}" if lacking else ""
    if not reason and os.geteuid() != 0:
        reason = "the Slurm testbed must run as root"
    if reason and services_required():
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@contextlib.contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder of its own that every account may look into, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="suanwang-slurm-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmTestbed]:
    """Two clusters, `gz` and `nm`; with REST daemons where this machine can run them."""
    need_slurm(rest=False)
    with reachable_folder() as folder, SlurmTestbed(folder, rest=not missing_programs(rest=True)) as testbed:
        yield testbed
