"""The shell lines before a SkyPilot script: what SkyPilot would have told it.

Owns the variables of SkyPilot's runtime, made from those of the network.
"""

from __future__ import annotations

from suanwang.taskfile.skypilot_files import HOME

_NODE_IPS = """\
SKYPILOT_NODE_IPS="$(printf '%s\\n' "${SUANWANG_NODE_LIST:-127.0.0.1}" | while IFS= read -r host; do
  address="$(getent ahostsv4 "$host" | awk 'NR == 1 { print $1 }')"
  printf '%s\\n' "${address:-$host}"
done)"
"""


def preamble(*, nodes: int, devices: int, home: bool) -> str:
    """Lines for the head of both setup and run."""
    lines = [
        "# What SkyPilot would set, set by the network. The script itself follows, as it was.",
        'export SKYPILOT_NODE_RANK="${SUANWANG_NODE_RANK:-0}"',
        f'export SKYPILOT_NUM_NODES="${{SUANWANG_NUM_NODES:-{nodes}}}"',
        f"export SKYPILOT_NUM_GPUS_PER_NODE={devices}",
        'export SKYPILOT_TASK_ID="${SUANWANG_JOB_ID:-}"',
        _NODE_IPS.rstrip("\n"),
        "export SKYPILOT_NODE_IPS",
        'export SKYPILOT_SETUP_NODE_RANK="$SKYPILOT_NODE_RANK" SKYPILOT_SETUP_NODE_IPS="$SKYPILOT_NODE_IPS"',
    ]
    if home:
        lines.append(f'mkdir -p "$PWD/{HOME}" && export HOME="$PWD/{HOME}" && ln -sfn "$PWD" "$HOME/sky_workdir"')
    return "\n".join(lines) + "\n"
