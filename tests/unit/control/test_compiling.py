"""Large plans while their kernels are compiled beside the control plane."""

from __future__ import annotations

from contextlib import closing
from unittest.mock import patch

from tests.factories import NOW, job, seconds, site, snapshot

from suanwang.scheduling import seating
from suanwang.scheduling.placing import decide, explain
from suanwang.scheduling.plan import Place
from suanwang.wiring.compiling import Compiling


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
