"""Readers of the traces the field has, one file for each format, and the table of them.

`read_trace` finds the format by a file's first bytes; `write_trace` writes our own. Every reader refuses what it does
not understand, naming file, line, field and what is allowed, and counts what it leaves out in `Trace.left_out`.
"""

from suanwang.twin.traces.demand import Demand
from suanwang.twin.traces.formats import FORMATS, Format, detect, read_trace
from suanwang.twin.traces.own import write_trace

__all__ = ["FORMATS", "Demand", "Format", "detect", "read_trace", "write_trace"]
