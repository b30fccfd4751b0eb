"""What to run again when objects are lost: a plan, made from lineage and from what the store says.

Nothing here does I/O. `plan` answers with a `Need` until it knows enough, then with a `Plan`.
"""

from aowhisk.recovery.foreign import foreign_read
from aowhisk.recovery.plan import Need, Plan, RecoveryPolicy, Seen, Step
from aowhisk.recovery.planner import plan

__all__ = ["Need", "Plan", "RecoveryPolicy", "Seen", "Step", "foreign_read", "plan"]
