"""Events: the facts of a run, and everything that receives them."""
