"""Other orchestrators at the same tasks, each in an environment of its own."""
