"""Work that is done ahead, by threads, and comes out in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from charlstm.errors import CharLSTMError

_THREADS = 2  # beside the one that reads and writes: what Python itself does holds its lock
_AHEAD = 4  # pieces that are under way, and in memory

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int = _THREADS) -> Generator[R]:
    """`map(work, items)`: while threads work on some items, the next ones are fetched. A single one works in order.

    Where fetching fails, what was fetched before comes first, with its own errors.

    It must be closed: if it is left to the garbage collector, that may find it where a thread is just being started,
    and to wait for its threads there is to wait for ever.
    """
    pool, waiting, source = ThreadPoolExecutor(threads), deque[Future[R]](), iter(items)
    failure: CharLSTMError | None = None
    try:
        while True:
            try:
                item = next(source)
            except StopIteration:
                break
            except CharLSTMError as error:
                failure = error
                break
            waiting.append(pool.submit(work, item))
            if len(waiting) >= _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if failure:
            raise failure
    finally:
        pool.shutdown(cancel_futures=True)
