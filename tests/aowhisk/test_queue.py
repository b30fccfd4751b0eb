import math

from hypothesis import given
from hypothesis import strategies as st

from aowhisk.scheduler.queue import Limit, ReadyQueue


def test_the_most_urgent_item_comes_first_and_equals_keep_their_order() -> None:
    queue = ReadyQueue[str]()
    for item, priority in [("b", 1), ("a", 2), ("c", 1)]:
        queue.push(item, priority=priority)
    assert [queue.pop()[0] for _ in range(3)] == ["a", "b", "c"]  # type: ignore[index]
    assert queue.pop() is None


def test_an_item_over_its_limit_lets_less_urgent_ones_pass() -> None:
    one = Limit(1)
    queue = ReadyQueue[str]()
    queue.push("a1", priority=9, limits=(one,))
    queue.push("a2", priority=9, limits=(one,))
    queue.push("b", priority=1)
    first = queue.pop()
    assert first is not None
    assert first[0] == "a1"
    assert queue.pop() == ("b", ())
    assert queue.pop() is None
    assert len(queue) == 1
    queue.done(first[1])
    assert queue.pop() == ("a2", (one,))


def test_an_item_that_waits_at_one_limit_does_not_hold_up_another_at_the_next() -> None:
    node, action = Limit(1), Limit(1)
    queue = ReadyQueue[str]()
    queue.push("x", priority=5, limits=(node,))
    queue.push("y", priority=4, limits=(node, action))
    queue.push("z", priority=3, limits=(node,))
    queue.push("w", priority=2, limits=(action,))
    x, w = queue.pop(), queue.pop()
    assert x is not None
    assert w is not None
    assert (x[0], w[0]) == ("x", "w")
    assert queue.pop() is None
    queue.done(x[1])  # node has room; y goes on to wait for the action, so z may pass
    z = queue.pop()
    assert z is not None
    assert z[0] == "z"


def test_an_item_that_nothing_makes_urgent_goes_in_the_end() -> None:
    queue = ReadyQueue[str]()
    queue.push("slow", priority=9)
    queue.push("short", priority=1)
    taken = []
    while "short" not in taken:
        found = queue.pop()
        assert found is not None
        taken.append(found[0])
        queue.push("slow", priority=9)
    assert len(taken) == 8


def test_what_must_go_at_once_goes_before_the_oldest() -> None:
    queue = ReadyQueue[int]()
    queue.push(-1, priority=1)
    for n in range(30):
        queue.push(n, priority=math.inf)
    assert [queue.pop()[0] for _ in range(31)] == [*range(30), -1]  # type: ignore[index]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(0, 2), max_size=3)), max_size=40),
    st.lists(st.integers(1, 3), min_size=3, max_size=3),
    st.randoms(use_true_random=False),
)
def test_every_item_comes_out_and_no_limit_is_ever_passed(
    items: list[tuple[int, set[int]]], sizes: list[int], random: object
) -> None:
    limits = [Limit(size) for size in sizes]
    queue = ReadyQueue[int]()
    for index, (priority, used) in enumerate(items):
        queue.push(index, priority=priority, limits=tuple(limits[i] for i in sorted(used)))
    out: list[tuple[int, tuple[Limit, ...]]] = []
    seen: list[int] = []
    while len(queue) or out:
        taken = queue.pop()
        if taken is None:
            assert out, "items are left, nothing is out, and nothing may go"
            queue.done(out.pop(random.randrange(len(out)))[1])  # type: ignore[attr-defined]
            continue
        out.append(taken)
        seen.append(taken[0])
        for limit, size in zip(limits, sizes, strict=True):
            assert sum(limit in held for _, held in out) <= size
    assert sorted(seen) == list(range(len(items)))
