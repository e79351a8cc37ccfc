"""What the network says, in the reader's language.

Errors, reasons and notes are English where they arise; whoever shows them to a Chinese reader asks here. `errors.po` has their
Chinese, `python -m suanwang.translation` brings it up to date with the sources. What is not known stays English.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache
from typing import TypeVar

from suanwang.domain.errors import SuanwangError
from suanwang.domain.job import Exclusion
from suanwang.domain.reasons import sentence
from suanwang.taskfile.problems import InvalidTask, Problem, composed
from suanwang.translation.matching import Matcher

E = TypeVar("E", bound=SuanwangError)


@cache
def _matcher() -> Matcher:
    # Here, as readers of English need no catalogue.
    from suanwang.translation.catalogue import stored

    return Matcher(stored())


@lru_cache(maxsize=4096)
def chinese(text: str) -> str:
    """`text` in Chinese where it is one of ours, else as it is."""
    return _matcher().chinese(text) or text


def error_in_chinese(error: E) -> E:
    """The same error with its texts in Chinese: message, what is allowed, and every problem of a file."""
    said = type(error).__new__(type(error))
    vars(said).update(vars(error))
    said.allowed = chinese(error.allowed) if error.allowed else error.allowed
    if isinstance(error, InvalidTask) and isinstance(said, InvalidTask):
        said.problems = tuple(map(_problem_in_chinese, error.problems))
        said.filename = chinese(error.filename)
        if error.message == composed(error.problems, error.filename, error.total):
            said.message = composed(said.problems, said.filename, said.total, chinese=True)
        return said
    said.message = chinese(error.message)
    return said


def _problem_in_chinese(problem: Problem) -> Problem:
    allowed = problem.allowed
    return replace(problem, message=chinese(problem.message), allowed=chinese(allowed) if allowed else allowed)


def reason_in_chinese(exclusion: Exclusion) -> str:
    """Why one site is out, in Chinese."""
    said = replace(exclusion, need=chinese(exclusion.need), have=chinese(exclusion.have))
    return sentence(said, chinese=True)
