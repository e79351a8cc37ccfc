"""Starting a Slurm command and waiting for it: the one place of the command-line gateway that touches the machine.

Owns time limits, the environment commands run in, and the change to the user's own account. It must not know what the
commands mean.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from suanwang.domain.connector import RunOrder
from suanwang.domain.errors import InvalidRequest, Unavailable

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One command to run."""

    argv: Sequence[str]
    stdin: str = ""
    posix_user: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the plain environment every command gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that ended, or that was ended because it took too long."""

    status: int
    out: str = ""
    err: str = ""
    timed_out: bool = False


class Run(Protocol):
    """Runs a command to its end; raises `Unavailable` when it could not even be started."""

    def __call__(self, call: Call) -> Done: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """The real `Run`. `env` is what leads to the cluster, such as SLURM_CONF; nothing else of this process's own
    environment reaches a command, so no secret of the agent's reaches a job."""

    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 30.0

    def __call__(self, call: Call) -> Done:
        account = account_of(call.posix_user)
        env = {**home_env(account), "PATH": _PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **self.env, **call.env}
        argv = list(call.argv)
        change = account.pw_uid != os.geteuid()
        as_root = os.geteuid() == 0
        if change and not as_root:
            inside = [f"{name}={value}" for name, value in env.items()]
            argv = ["sudo", "-n", "-u", account.pw_name, "--", "env", "-i", *inside, *argv]
        elif shutil.which(argv[0], path=env["PATH"]) is None:
            raise Unavailable(f"there is no {argv[0]} on this machine: install Slurm's client commands")
        try:
            done = subprocess.run(
                argv,
                input=call.stdin.encode(),
                capture_output=True,
                env=env,
                timeout=self.timeout_s,
                check=False,
                cwd="/",
                user=account.pw_uid if change and as_root else None,
                group=account.pw_gid if change and as_root else None,
                extra_groups=os.getgrouplist(account.pw_name, account.pw_gid) if change and as_root else None,
            )
        except subprocess.TimeoutExpired as error:
            return Done(status=-1, err=(error.stderr or b"").decode(errors="replace"), timed_out=True)
        except OSError as error:
            raise Unavailable(f"{argv[0]} could not be started: {error.strerror}") from error
        return Done(
            status=done.returncode,
            out=done.stdout.decode(errors="replace"),
            err=done.stderr.decode(errors="replace"),
        )


def account_of(posix_user: str | None, *, allow_root: bool = False) -> pwd.struct_passwd:
    """The account a command runs under: the user's own, else this process's.

    Raises `InvalidRequest` for an account this machine lacks, and for root unless `allow_root`.
    """
    if posix_user is None:
        return pwd.getpwuid(os.geteuid())
    try:
        account = pwd.getpwnam(posix_user)
    except KeyError as error:
        raise InvalidRequest(
            f"this site has no account {posix_user!r}", field="posix_user", allowed="an account of the site"
        ) from error
    if account.pw_uid == 0 and not allow_root:
        raise InvalidRequest("no user's work runs as root", field="posix_user", allowed="an ordinary account")
    return account


def home_env(account: pwd.struct_passwd) -> dict[str, str]:
    """What a login would set of the environment and every program expects."""
    return {
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell or "/bin/sh",
    }


def hand_over(order: RunOrder) -> None:
    """Gives the run's folders to the account it runs under, where this process may; links are not followed."""
    account = account_of(order.posix_user)
    if os.geteuid() != 0 or account.pw_uid == 0:
        return
    work_dir = Path(order.work_dir)
    folders = {Path(path).parent for path in (order.stdout_path, order.stderr_path, order.exit_path)} | {work_dir}
    try:
        for folder in folders:
            os.chown(folder, account.pw_uid, account.pw_gid, follow_symlinks=False)
        for root, inner, files in os.walk(work_dir):
            for name in (*inner, *files):
                os.chown(Path(root) / name, account.pw_uid, account.pw_gid, follow_symlinks=False)
    except OSError as error:
        raise Unavailable(f"{error.filename} cannot be given to {account.pw_name}: {error.strerror}") from error
