"""A real Slurm cluster joined by the five lines of the README, and a job that runs on it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.cli_process import first_json, run, running, until_none_left
from tests.services.slurm_fixture import slurm

from suanwang.testbed.slurm import SlurmTestbed

__all__ = ["slurm"]

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("slurm"), pytest.mark.timeout(300)]


@pytest.fixture
def home() -> Iterator[Path]:
    """Where the cluster's accounts may look, unlike pytest's own folders."""
    with tempfile.TemporaryDirectory(prefix="suanwang-join-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_slurm_cluster_is_drafted_invited_joined_and_used(slurm: SlurmTestbed, home: Path) -> None:
    conf = str(slurm.clusters["gz"].conf)
    with running(
        "serve", "--home", str(home / "net"), "--port", "0", "--json", home=home, SUANWANG_POLL_S="0.5"
    ) as server:
        url = str(first_json(server, home)["url"])
        token = (home / "net" / "operator-token").read_text().strip()
        drafted = run("site", "template", "--slurm", "--conf", conf, "--id", "gz", "--place", "贵安", home=home)
        assert drafted.returncode == 0, drafted.stderr
        (home / "site.yaml").write_text(drafted.stdout, encoding="utf-8")
        invited = run("site", "invite", "site.yaml", home=home, SUANWANG_URL=url, SUANWANG_TOKEN=token)
        assert invited.returncode == 0, invited.stderr
        made = run("project", "create", "main", home=home, SUANWANG_URL=url, SUANWANG_TOKEN=token)
        assert made.returncode == 0, made.stderr
        agent = ("agent", "--site", "site.yaml", "--join", invited.stdout.strip(), "--url", url)
        with running(*agent, home=home):
            task = (
                "name: on-slurm\nrun: echo job $SLURM_JOB_ID\nresources: {devices: 1 x ascend-910b, time_limit: 5m}\n"
            )
            done = run("submit", "-", "--watch", home=home, stdin=task, SUANWANG_URL=url, SUANWANG_TOKEN=token)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "\njob " in done.stdout
            sites = json.loads(run("site", "list", "--json", home=home, SUANWANG_URL=url, SUANWANG_TOKEN=token).stdout)
            [site] = sites
            assert (site["id"], site["state"], site["offering"]["connector"]) == ("gz", "reachable", "slurm")
            assert site["offering"]["devices"][0]["count"] == 16
            credential = home / ".suanwang" / "sites" / "gz" / "credential"
            assert credential.stat().st_mode & 0o777 == 0o600
    assert until_none_left(home) == []
    shutil.rmtree(home / ".suanwang", ignore_errors=True)
