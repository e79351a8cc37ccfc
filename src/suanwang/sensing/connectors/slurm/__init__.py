"""Slurm as a site's scheduler: by its commands, or by its REST daemon with JSON web tokens.

`by_commands` is what an agent on a login node uses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from suanwang.sensing.connectors.slurm.cli import CommandGateway
from suanwang.sensing.connectors.slurm.connector import SlurmConnector
from suanwang.sensing.connectors.slurm.process import Runner

__all__ = ["SlurmConnector", "by_commands"]


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
