"""A run for people to look at: one live line while it goes on, a table of its calls afterwards.

The only door to rich besides the command line.
"""

from aowhisk.progress.line import Progress
from aowhisk.progress.table import report, table
from aowhisk.progress.tally import CallTally, Rescue, Tally

__all__ = ["CallTally", "Progress", "Rescue", "Tally", "report", "table"]
