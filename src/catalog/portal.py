"""The way from any thread into the one that runs trio, for `catalog.blocking`.

A call runs over there while its thread waits. A block is entered by a task over there that stays in
it, so that nurseries and cancel scopes begin and end in one task, as they must; the thread tells it
when its own block is over.

However that thread of trio ends, nobody who waits for it waits for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Final, TypeVar

import trio

from catalog.errors import NoServers

__all__ = ["END_SECONDS", "Portal"]

T = TypeVar("T")

END_SECONDS: Final = 10.0
"""How long the end of a connection is waited for: what still lasts lets go within that."""


class Portal:
    """The way into the thread that runs trio."""

    def __init__(self, token: trio.lowlevel.TrioToken, nursery: trio.Nursery) -> None:
        self._token = token
        self._nursery = nursery

    def run(self, task: Callable[[], Awaitable[T]], *, timeout: float | None = None) -> T:
        """Run a task over there; return what it returns.

        Raises:
            TimeoutError: it took longer than `timeout` seconds, and was cancelled.
            NoServers: the connection has ended.

        """
        try:
            return trio.from_thread.run(_limited, task, timeout, trio_token=self._token)
        except trio.TooSlowError:
            raise TimeoutError(f"it took more than {timeout:g} s, and was given up") from None
        except (trio.Cancelled, trio.RunFinishedError):
            raise _ended() from None

    @contextmanager
    def block(
        self, manager: AbstractAsyncContextManager[T], *, timeout: float | None = None
    ) -> Iterator[T]:
        """Have a manager entered over there, by a task that waits there for the end of the block.

        Raises what the manager raises, when it is entered or left; else as `run`.
        """
        over, scope = trio.Event(), trio.CancelScope()
        done: Future[None] = Future()

        async def hold(*, task_status: trio.TaskStatus[T]) -> None:
            with scope:
                try:
                    async with manager as value:
                        task_status.started(value)
                        await over.wait()
                except Exception as error:  # noqa: BLE001 - it is raised where the block ends
                    done.set_exception(error)
                except BaseException:
                    done.set_exception(_ended())
                    raise
                else:
                    done.set_result(None)

        async def enter() -> T:
            try:
                value: T = await self._nursery.start(hold)
            except RuntimeError:  # it ended before it began, or could not begin
                if done.done():
                    done.result()
                raise _ended() from None
            return value

        try:
            value = self.run(enter, timeout=timeout)
        except BaseException:
            self._soon(scope.cancel)  # an interrupted caller will not come back for it
            raise
        try:
            yield value
        except BaseException:
            self._soon(over.set)
            wait([done], END_SECONDS)
            raise
        self._soon(over.set)
        done.result(END_SECONDS)

    def _soon(self, function: Callable[[], object]) -> None:
        with suppress(trio.RunFinishedError):  # then it is done
            self._token.run_sync_soon(function)


async def _limited(task: Callable[[], Awaitable[T]], timeout: float | None) -> T:  # noqa: ASYNC109
    if timeout is None:
        return await task()
    with trio.fail_after(timeout):
        return await task()


def _ended() -> NoServers:
    return NoServers("the connection has ended: connect again")
