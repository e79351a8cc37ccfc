"""`python -m suanwang.cli`: the command line without its console script, as child processes start it."""

from suanwang.cli import main

main()
