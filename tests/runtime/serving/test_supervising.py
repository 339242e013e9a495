"""Pools supervised by a program's own code, from whatever thread it runs on."""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from understudy import Actor, ActorFailed, Agent, RunFinished, Runtime, UnderstudyError
from understudy.messages.codec import decode_json, encode_json
from understudy.messages.control import ActorNode
from understudy.testing import FakeModel


class Worker(Actor):
    async def on_receive(self, message: int) -> int:
        return message + 1


def in_threads(calls: list[Callable[[], object]]) -> None:
    """Each on a thread of its own, all at once; what any of them raises is raised."""
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        try:
            barrier.wait(10)
            call()
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures, failures
    assert not [thread for thread in threads if thread.is_alive()]


def often(call: Callable[[], object]) -> None:
    """Thirty times."""
    for _ in range(30):
        call()


def test_every_verb_from_any_thread_at_once() -> None:
    """Resize, pause, resume, replace, look, subscribe, while jobs run: each job is done once."""
    with Runtime() as rt:
        pool = rt.pool("workers", Worker, size=(2, 4), queue=10_000)
        done: list[int] = []
        seen: list[object] = []

        def work(begin: int) -> None:
            done.extend(pool.map(range(begin, begin + 500)))

        def look() -> None:
            encode_json(rt.tree())
            encode_json(rt.health())
            assert pool.stats.workers <= 8

        def replace() -> None:
            with suppress(UnderstudyError):  # another thread has made the pool smaller
                pool.replace(0)

        def pause() -> None:
            pool.pause()
            pool.resume()

        def subscribe() -> None:
            rt.events.subscribe(ActorFailed, seen.append).cancel()

        in_threads(
            [
                *(partial(work, 1_000 * number) for number in range(3)),
                *(partial(pool.resize, size) for size in (3, (1, 8), 4)),
                *(partial(often, it) for it in (look, look, replace, pause, pause, subscribe)),
            ]
        )  # fmt: skip
        assert len(done) == len(set(done)) == 1500
        assert pool.drain(timeout=30).done == 1500
        assert "workers" not in rt.pools
        assert rt.stop().ledger.balanced


def test_a_paused_pool_keeps_its_jobs() -> None:
    """Accepted while it is paused, done when it goes on."""
    with Runtime() as rt:
        pool = rt.pool("workers", Worker, size=1)
        pool.pause()
        reply = pool.submit(1)
        assert rt.pools["workers"].stats.paused
        assert (pool.stats.queued, reply.done) == (1, False)
        thread = threading.Thread(target=pool.resume)
        thread.start()
        assert reply.get(timeout=10) == 2
        thread.join()


def test_the_tree_reads_like_pstree_and_encodes() -> None:
    """As text for people, as JSON for programs; taken on any thread."""
    with Runtime(name="shop") as rt:
        rt.pool("workers", Worker, size=2).submit(1).get(timeout=10)
        tree = rt.tree()
        lines = str(tree).splitlines()
        assert lines[0] == "/ (shop) running"
        assert lines[1] == "├─ user (Guardian) running"
        assert lines[2] == "│  └─ workers (Guardian) running"
        assert lines[3] == "│     ├─ Worker-1 (Worker) running"
        assert lines[4] == "│     └─ Worker-2 (Worker) running"
        assert lines[5].startswith("└─ system ")
        assert decode_json(encode_json(tree), ActorNode) == tree


def test_events_from_another_thread() -> None:
    """Subscribed on one thread, caused on another, delivered on the bus's own."""
    with Runtime() as rt:
        threads: list[str] = []
        in_threads(
            [
                partial(
                    rt.events.subscribe,
                    RunFinished,
                    lambda _: threads.append(threading.current_thread().name),
                )
            ]
        )
        rt.run(Agent(FakeModel.echo()), "x")
        assert rt.events.flush(timeout=10)
    assert threads == [f"understudy-{rt.name}-events"]
