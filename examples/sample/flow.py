"""Three actions in a chain, on the OpenWhisk inside aowhisk: `python examples/sample/flow.py`."""

import asyncio
from pathlib import Path

from aowhisk import Dag, Orchestrator

HERE = Path(__file__).parent


def chain(text: str) -> Dag:
    """action1 -> action2 -> action3: what one returns is a param of the next."""
    dag = Dag("sample")
    first = dag.call("action1", {"text": text})
    second = dag.call("action2", {"input": first["output"]})
    dag.call("action3", {"input": second["output"]})
    return dag


async def main() -> None:
    """Run the chain once and say what came out."""
    async with Orchestrator.local(HERE / "manifest.yaml") as orchestrator:
        run = await orchestrator.run(chain("the quick brown fox"))
        result = run["action3"].result
        print(f"run {run.id}: {result['words']} words in {result['output']}")


if __name__ == "__main__":
    asyncio.run(main())
