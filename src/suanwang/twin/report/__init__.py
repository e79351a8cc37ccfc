"""The report of an experiment: one HTML file that explains itself.

Owns what is told of results and how it looks. Plays nothing and knows no policy.
"""

from suanwang.twin.report.writing import write_report

__all__ = ["write_report"]
