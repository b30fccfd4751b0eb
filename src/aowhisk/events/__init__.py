"""Events: the facts of a run, and everything that receives them."""

from aowhisk.events.memory import MemoryJournal
from aowhisk.events.model import Event, RunState
from aowhisk.events.sink import Journal, Recorder, Sink, Written

__all__ = ["Event", "Journal", "MemoryJournal", "Recorder", "RunState", "Sink", "Written"]
