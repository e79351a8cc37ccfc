"""Slurm as a site's scheduler: by its commands, or by its REST daemon with JSON web tokens.

`by_commands` is what an agent on a login node uses; `by_rest` one that only reaches slurmrestd.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from suanwang.sensing.connectors.slurm.cli import CommandGateway
from suanwang.sensing.connectors.slurm.connector import SlurmConnector
from suanwang.sensing.connectors.slurm.process import Runner, account_of, hand_over, home_env
from suanwang.sensing.connectors.slurm.rest import RestGateway

__all__ = ["SlurmConnector", "by_commands", "by_rest"]

_JOB_PATH = "/usr/local/bin:/usr/bin:/bin"


def by_commands(
    *,
    spool: Path,
    gres_types: Mapping[str, str] | None = None,
    label: str = "suanwang",
    partitions: Sequence[str] = (),
    slurm_conf: Path | None = None,
    timeout_s: float = 30.0,
) -> SlurmConnector:
    """A connector over `sbatch`, `squeue`, `sacct`, `scancel`, `sinfo` and `scontrol`.

    `slurm_conf` leads to another cluster than the machine's own; `timeout_s` bounds each command.
    """
    env = {"SLURM_CONF": os.fspath(slurm_conf)} if slurm_conf else {}
    gateway = CommandGateway(Runner(env=env, timeout_s=timeout_s))
    return SlurmConnector(gateway, spool=spool, gres_types=gres_types, label=label, partitions=partitions)


def by_rest(
    *,
    url: str,
    user: str,
    token: Callable[[], str],
    spool: Path,
    gres_types: Mapping[str, str] | None = None,
    label: str = "suanwang",
    partitions: Sequence[str] = (),
    timeout_s: float = 30.0,
    transport: httpx.BaseTransport | None = None,
) -> SlurmConnector:
    """A connector over slurmrestd at `url` (`http://…`, `https://…` or `unix:/…`), as the account `user`.

    `token` is called before each request and returns a valid JSON web token. Folders and exit files are on a file
    system that this process shares with the cluster.
    """

    def env(posix_user: str | None) -> Mapping[str, str]:
        return {"PATH": _JOB_PATH, "LANG": "C.UTF-8", **home_env(account_of(posix_user or user, allow_root=True))}

    gateway = RestGateway(
        url=url, user=user, token=token, prepare=hand_over, env=env, timeout_s=timeout_s, transport=transport
    )
    return SlurmConnector(gateway, spool=spool, gres_types=gres_types, label=label, partitions=partitions)
