"""The bash script a run is made of: the user's setup and run, and the product's guards around them.

Owns what happens on the node: the working folder, the exit status on file, the word that the end is near, the lease that
ends a run whose agent is gone, and the sweep that leaves nothing behind. It must not know any scheduler beyond Slurm's
`srun`, which starts the other nodes' copies, and `scancel`, which tells them.
"""

from __future__ import annotations

import hashlib
import shlex
from pathlib import PurePath

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.task import Signal

COOKIE = "SUANWANG_RUN_COOKIE"
"""Environment variable that every process of a run inherits: the sweep finds them by it, in any session."""

FENCED_STATUS = 143
"""Exit status of a run that stopped itself because its lease had ended: that of a program ended by TERM."""

_GUARDS = r"""
cookie="$$-$RANDOM$RANDOM-$(printf '%(%s)T' -1)"
work='' guard='' again=0 fenced=0 interrupted=0

# The processes of the work, in `found`. The cookie is exported to them alone: this shell and its guard do not match.
find_work() {
  local file
  found=()
  while IFS= read -r file; do
    file=${file#/proc/}
    found+=("${file%/environ}")
  done < <(grep -lsaxzF -e "@COOKIE@=$cookie" /proc/[0-9]*/environ)
  wait "$!"
}

# A pipe that never has anything to read: `read -t` on it is a sleep without a child. Every child is waited for, since
# an orphan that nobody collects keeps the process group, and with it the site's job, alive.
exec {tick}<> <(:)
wait "$!"

# Ends all of it: TERM, then KILL after the grace. New children are found again each time round.
reap() {
  local turns=0
  find_work
  (( ${#found[@]} )) || return 0
  kill -TERM "${found[@]}" 2>/dev/null
  kill -CONT "${found[@]}" 2>/dev/null
  while (( turns++ < grace * 5 )); do
    read -r -t 0.2 -u "$tick"
    find_work
    (( ${#found[@]} )) || break
  done
  for (( turns = 0; turns < 20 && ${#found[@]}; turns++ )); do
    kill -KILL "${found[@]}" 2>/dev/null
    read -r -t 0.05 -u "$tick"
    find_work
  done
}

# Tells the work that its end is near: all of its processes, or the script's own shell alone. On several nodes Slurm
# passes it on, to all of it, and may be slow: the lease is watched meanwhile.
tell() {
  echo "suanwang: this run is to be ended soon ($1): it is told by $told_by" >&2
  if (( SUANWANG_NUM_NODES > 1 )); then
    timeout 3 scancel --quiet --signal="$told_by" "$SLURM_JOB_ID"
    return
  fi
  if [[ $told_to == shell ]]; then found=("$work"); else find_work; fi
  kill -CONT "${found[@]}" 2>/dev/null
  kill -"$told_by" "${found[@]}" 2>/dev/null
}

# Watches the lease, and whether the end is near. An unreadable file keeps the instant read last; a run that never had a
# lease is not stopped.
watch_lease() {
  trap '' TERM
  local value='' now until='' stat noticed=0 warn_at=0
  (( warn_after_s )) && printf -v now '%(%s)T' -1 && warn_at=$((now + warn_after_s))
  while :; do
    # Once the script's shell is gone this one has another parent, and the run is over.
    read -r -d '' stat < "/proc/$BASHPID/stat"
    [[ ${stat##*) } == ?" $$ "* ]] || break
    value=''
    { read -r value < "$lease_path"; } 2>/dev/null
    [[ $value =~ ^[0-9]{1,11}$ ]] && until=$((10#$value))
    printf -v now '%(%s)T' -1
    if [[ -n $until ]] && (( now >= until )); then
      echo "suanwang: the lease of this run ended $((now - until)) s ago and nobody renewed it: stopping it" >&2
      kill -USR1 "$$"
      break
    fi
    if (( ! noticed )) && [[ -e $notice_path ]]; then
      noticed=1
      tell "its room is needed"
    fi
    if (( warn_at && now >= warn_at )); then
      warn_at=0
      tell "its time limit"
    fi
    read -r -t "$guard_interval" -u "$tick"
  done
  reap
  # Work that had only just begun does not bear its cookie yet.
  while kill -0 "$work" 2>/dev/null; do
    read -r -t 0.2 -u "$tick"
    reap
  done
}

finish() {
  local status=$1
  # A guard that ends the work itself is let finish.
  (( fenced )) || kill -KILL "$guard" 2>/dev/null
  [[ -n $guard ]] && wait "$guard" 2>/dev/null
  reap
  wait
  rm -f -- "$exit_path.setup.sh" "$exit_path.run.sh"
  (( fenced )) && status=@FENCED@
  # Ended from outside, the site knows why and this shell does not: it leaves no status of its own.
  if (( ! interrupted )); then
    printf '%d\n' "$status" > "$exit_path.part" && mv -f -- "$exit_path.part" "$exit_path"
  fi
  exit "$status"
}

# A signal sent to this shell only passes to the whole work; `wait` is then taken up again.
trap 'again=1 interrupted=1; reap &' TERM INT HUP
trap 'again=1 fenced=1' USR1
""".replace("@COOKIE@", COOKIE).replace("@FENCED@", str(FENCED_STATUS))

_DRIVER = r"""
driver='
export SUANWANG_NODE_RANK="${SLURM_NODEID:-0}"
[[ -z $3 ]] || trap "$4" "$3"
set -- "$1" "$2"
source "$1"
status=$?
if [ "$status" -ne 0 ]; then
  echo "suanwang: setup ended with status $status, run was not started" >&2
  exit "$status"
fi
shift
source "$1"
'
"""

_AT_TERM = "wait; exit 143"
"""What the shell of the user's code does on TERM, once the program it waits for has ended: what follows is not begun."""

_START = r"""
if (( SUANWANG_NUM_NODES > 1 )); then
  if [[ -z ${SLURM_JOB_ID:-} ]]; then
    echo "suanwang: this run wants $SUANWANG_NUM_NODES nodes, and only Slurm's srun starts the others" >&2
    finish 125
  fi
  SUANWANG_NODE_LIST=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
  launch=(srun --nodes="$SUANWANG_NUM_NODES" --ntasks="$SUANWANG_NUM_NODES" --ntasks-per-node=1
    --kill-on-bad-exit=1 --export=ALL)
  # Slurm 22.05 stopped passing the batch job's cores on to its steps.
  [[ -n ${SLURM_CPUS_PER_TASK:-} ]] && launch+=(--cpus-per-task="$SLURM_CPUS_PER_TASK")
else
  # srun sets the rank of each copy; without it a rank left over from outside must not show.
  SUANWANG_NODE_LIST=$(uname -n)
  launch=(env -u SLURM_NODEID)
fi
SUANWANG_MASTER_HOST=${SUANWANG_NODE_LIST%%$'\n'*}
export SUANWANG_NUM_NODES SUANWANG_NODE_LIST SUANWANG_MASTER_HOST
@COOKIE@="$cookie" "${launch[@]}" \
  bash -c "$driver" suanwang "$exit_path.setup.sh" "$exit_path.run.sh" "$shell_hears" "$shell_then" </dev/null {tick}<&- &
work=$!
watch_lease &
guard=$!
while :; do
  again=0
  wait "$work" 2>/dev/null
  status=$?
  (( again )) || break
done
finish "$status"
""".replace("@COOKIE@", COOKIE)


def wrap(
    *,
    setup: str,
    run: str,
    exit_path: PurePath,
    lease_path: PurePath,
    notice_path: PurePath,
    work_dir: PurePath,
    nodes: int = 1,
    guard_interval_s: float = 5.0,
    grace_s: int = 10,
    signal: Signal | None = None,
    time_limit_s: int = 0,
) -> str:
    """The bash script of one run: `setup`, then `run` in the same shell, then the exit status on file.

    The script changes to `work_dir`, and when the work ends by itself writes its status (0 to 255 and a newline) to
    `exit_path` by rename. Every `guard_interval_s` seconds it reads `lease_path` (whole epoch seconds, UTC); once the
    clock has reached that number it ends the work, TERM first and KILL after `grace_s` seconds, says so on standard error
    and ends with status 143. A setup whose last command fails ends the run with that status. No `set -e` is imposed.

    Once `notice_path` is there the work is told that its end is near, by `signal`, or by TERM where none is named; by a
    named one also `signal.before_s` before `time_limit_s`. TERM reaches every process: the shell of the user's code waits
    for what it has begun, then ends with status 143. Another signal reaches every process but that shell, or, where
    `signal.shell_only`, that shell alone.

    The user's program sees SUANWANG_NUM_NODES, SUANWANG_NODE_RANK, SUANWANG_NODE_LIST (one host a line) and
    SUANWANG_MASTER_HOST. With `nodes` > 1 it runs once on each node, started by Slurm's `srun`.
    The folder of `exit_path` must exist, be writable for the run's account, and be seen by every node.

    Raises `InvalidRequest` where a text holds what no bash script can.
    """
    for field, text in (("setup", setup), ("run", run)):
        _check_text(field, text)
    if nodes < 1:
        raise InvalidRequest("a run needs at least one node", field="nodes", allowed="1 or more")
    if guard_interval_s <= 0 or grace_s < 0:
        raise InvalidRequest("the guard needs a positive interval", field="guard_interval_s", allowed="more than 0")
    by = signal or Signal(name="TERM")
    hears, then = ("TERM", _AT_TERM) if by.name == "TERM" else (by.name, ":")
    if by.shell_only:
        hears = ""  # the user's own trap is meant
    settings = "\n".join(
        f"{name}={shlex.quote(str(value))}"
        for name, value in (
            ("exit_path", exit_path),
            ("lease_path", lease_path),
            ("notice_path", notice_path),
            ("told_by", by.name),
            ("told_to", "shell" if by.shell_only else "all"),
            ("shell_hears", hears),
            ("shell_then", then),
            ("warn_after_s", max(1, time_limit_s - by.before_s) if by.before_s else 0),
            ("work_dir", work_dir),
            ("guard_interval", f"{guard_interval_s:g}"),
            ("grace", grace_s),
            ("SUANWANG_NUM_NODES", nodes),
        )
    )
    return "".join(
        (
            "#!/bin/bash\n",
            settings,
            "\n",
            _GUARDS,
            _DRIVER,
            "umask_before=$(umask)\numask 077\n",
            _file_from_text('"$exit_path.setup.sh"', setup),
            _file_from_text('"$exit_path.run.sh"', run),
            'umask "$umask_before"\n',
            'cd -- "$work_dir" || finish 125\n',
            _START,
        )
    )


def _file_from_text(target: str, text: str) -> str:
    """Bash lines that write `text` to `target` literally, by a quoted here-document whose end mark it does not hold."""
    salt = 0
    while True:
        mark = "SUANWANG_" + hashlib.sha256(f"{salt}:{text}".encode()).hexdigest()[:24]
        if mark not in text:
            return f"cat > {target} <<'{mark}' || finish 125\n{text}\n{mark}\n"
        salt += 1


def _check_text(field: str, text: str) -> None:
    if "\0" in text:
        raise InvalidRequest(f"{field} holds a NUL character", field=field, allowed="text without NUL")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{field} is not valid Unicode: {error.reason}", field=field, allowed="UTF-8") from error
