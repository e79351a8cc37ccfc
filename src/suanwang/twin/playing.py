"""The process that plays one experiment of a control plane: `python -m suanwang.twin.playing FOLDER`.

Owns its manners: it steps back behind everything else of the machine, keeps within its memory, says how far it is and in
words what went wrong, and ends with the control plane, whose end of its standard input closes then.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suanwang.domain.errors import InvalidRequest, SuanwangError
from suanwang.twin.laboratory import EXPERIMENT, FAILURE, MEMORY, PROGRESS
from suanwang.twin.whatif import PLAN

NICE = 15
VARIANT = "variant"


def main(folder: Path) -> int:
    """Play the folder's experiment and write its report; the exit status."""
    from suanwang.twin.report import write_report

    try:
        plan = folder / PLAN
        if plan.exists():
            play_variants(folder, json.loads(plan.read_text(encoding="utf-8")))
        else:
            play_files(folder, [(folder / EXPERIMENT, folder)])
        write_report(folder)
    except MemoryError:
        _fail(folder, f"its memory did not suffice: {os.environ.get(MEMORY, '?')} GB are allowed")
    except SuanwangError as error:
        _fail(folder, error.message)
    except Exception as error:
        traceback.print_exc()
        _fail(folder, f"{type(error).__name__}: {str(error)[:500]}")
    else:
        return 0
    return 1


def play_files(folder: Path, wanted: Sequence[tuple[Path, Path]]) -> None:
    """Play each (experiment file, folder of its results), telling the progress of all together in `folder`.

    Raises `InvalidRequest` where no play of one came to its end.
    """
    from suanwang.twin.experiment import plays
    from suanwang.twin.experimentfile import read_experiment
    from suanwang.twin.running import Happened, run

    experiments = [read_experiment(path) for path, _ in wanted]
    counts = [len(plays(experiment)) for experiment in experiments]
    for at, (experiment, (_, out)) in enumerate(zip(experiments, wanted, strict=True)):
        before = sum(counts[:at])

        def told(happened: Happened, before: int = before) -> None:
            _write(folder / PROGRESS, {"done": before + happened.there, "of": sum(counts)})

        _write(folder / PROGRESS, {"done": before, "of": sum(counts)})
        ran = run(experiment, out, jobs=max(1, len(os.sched_getaffinity(0)) // 2), told=told)
        if not ran.rows:
            reasons = list(dict.fromkeys(error for _, error in ran.failed))
            raise InvalidRequest("; ".join(reasons)[:1000] or "nothing was played", field="experiment")


def play_variants(folder: Path, plan: Mapping[str, Any]) -> None:
    """Play the same work on several networks, and put the tables together with the variant as what varied."""
    outs = [folder / f"variant-{at + 1}" for at in range(len(plan["files"]))]
    play_files(folder, [(folder / name, out) for name, out in zip(plan["files"], outs, strict=True)])
    joined(folder, list(zip(plan["variants"], outs, strict=True)))


def joined(folder: Path, variants: Sequence[tuple[str, Path]]) -> None:
    """One results folder from several; sites of any of them are in it."""
    import pyarrow as pa
    from pyarrow import parquet

    from suanwang.twin.results import EXPERIMENT as ABOUT
    from suanwang.twin.results import JOBS, RESULTS, SHARES, TIMELINE

    rows = [{**row, VARIANT: name} for name, out in variants for row in parquet.read_table(out / RESULTS).to_pylist()]
    parquet.write_table(pa.Table.from_pylist(rows), folder / RESULTS)
    for file in (TIMELINE, JOBS, SHARES):
        tables = [parquet.read_table(out / file) for _, out in variants if (out / file).exists()]
        if tables:
            parquet.write_table(pa.concat_tables(tables), folder / file)
    abouts = [json.loads((out / ABOUT).read_text(encoding="utf-8")) for _, out in variants]
    sites = {site["id"]: site for about in abouts for site in about["sites"]}
    failed = [f"{name}: {line}" for (name, _), about in zip(variants, abouts, strict=True) for line in about["failed"]]
    _write(
        folder / ABOUT,
        {**abouts[0], "varied": [VARIANT], "sites": list(sites.values()), "bounds": [], "failed": failed},
    )


def step_back() -> None:
    """Behind everything else, and within the memory that is allowed."""
    os.nice(NICE)
    allowed = float(os.environ.get(MEMORY, "0")) * 1e9
    if allowed > 0:
        resource.setrlimit(resource.RLIMIT_DATA, (int(allowed), int(allowed)))


def end_with_parent() -> None:
    """Wait for the other end of standard input to close, and end with all processes this one started."""
    while os.read(0, 4096):
        pass
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _fail(folder: Path, message: str) -> None:
    _write(folder / FAILURE, {"message": message})


def _write(path: Path, value: Mapping[str, Any]) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    fresh.replace(path)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    step_back()
    sys.exit(main(Path(sys.argv[1])))
