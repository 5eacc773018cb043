"""
A stream with several readers, each at its own pace from the first byte.

Chunks are read on demand: whoever has read all there is takes the turn and reads the next one, at the home of the
stream (its loop; any thread for the sync colour), and the others wait until it is here. One step is one read. There is
one turn, an item in a list: taking it out and putting it back are each one act, so that nobody needs a lock for it.

A lone reader at home reads by itself, which costs next to nothing (`guests.First`). Where there are several, on a loop,
a read is a task that no reader's leaving disturbs. All chunks are kept from the first, so that a reader may come late,
up to a bound beyond which nobody may join. The last to leave closes the stream.

A reader that comes while a lone one is in the middle of a read is given nothing before that has ended: the lone one
may be cancelled in it, which breaks the stream, and the newcomer then asks anew.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import StreamBroken
from ..message import Abandoned, Request, Stream
from ..runtime import Crowd, Guard, Home, Running, Runtime
from .guests import LONGEST


class Reading:
    """The stream of one flight. `guard` is the flight's, and `guests` is counted inside it."""

    def __init__(
        self,
        stream: Stream,
        home: Home,
        guard: Guard,
        guests: int,
        gone: Callable[[], None],
        *,
        until: float | None = None,
    ) -> None:
        self.stream, self.home, self.guests = stream, home, guests
        self._until = until
        """The moment no read goes beyond: the deadline of who began the call."""
        self.chunks: list[bytes] = []
        self.base = self.size = 0
        """Chunks that are no longer kept, and bytes so far."""
        self.turn: list[None] = [None]
        self.lone = False
        """A lone reader is in the middle of a read."""
        self.over = False
        self.error: BaseException | None = None
        self._guard, self._gone = guard, gone
        self.moved: Crowd | None = None
        """What those wait for who want the next chunk, where there are any."""
        self._running: Running | None = None

    @property
    def told(self) -> int:
        """How many chunks there have been."""
        return self.base + len(self.chunks)

    def movement(self) -> Crowd:
        """What is set when the read under way has ended."""

        def movement() -> Crowd:
            moved = self.moved
            if moved is None:
                moved = self.moved = Crowd()
            return moved

        return self._guard.do(movement)

    async def advance(self, at: int, request: Request, runtime: Runtime) -> None:
        """Until there may be more than `at` chunks, or the end."""
        moved = self.movement()
        if self._ahead(at):
            return
        try:
            self.turn.pop()
        except IndexError:
            await self._wait(moved, request, runtime)
            return
        if self._ahead(at):  # somebody was faster
            self.give_back()
            return
        self.lone = self.guests == 1
        alone = self.lone and self.guests == 1  # whoever came in between has seen that it has to wait, or is seen here
        if self.size > LONGEST:
            self._forget(alone)
        if self.home.mine(runtime) and (alone or not self.home.apart) and not self._too_long(request):
            await self._step()
            return
        self.lone = False
        self._send()
        await self._wait(moved, request, runtime)

    def _too_long(self, request: Request) -> bool:
        """Whether a read may take longer than this reader has time."""
        return request.deadline is not None and (self._until is None or request.deadline < self._until)

    def _ahead(self, at: int) -> bool:
        """Whether there is something for who has read so far."""
        return self.over or at < self.told

    def _forget(self, alone: bool) -> None:
        """Let go of what nobody can ask for any more."""
        if alone:
            self.base += len(self.chunks)
            self.chunks.clear()

    async def _wait(self, moved: Crowd, request: Request, runtime: Runtime) -> None:
        left = None if request.deadline is None else max(request.deadline - runtime.clock.now(), 0.0)
        if not await runtime.wait(moved, left):
            raise StreamBroken("the time allowed for this call ran out in mid-answer", kind="ReadTimeout")

    def _send(self) -> None:
        """Have the next read done at home."""
        begun: list[None] = []

        async def step() -> None:
            begun.append(None)
            await self._step()

        def ended() -> None:
            if not begun and self.moves(b"", Abandoned()):  # its loop was being closed
                self._close()

        try:
            self._running = self.home.start(step, ended)
        except RuntimeError:
            self.moves(b"", StreamBroken("the event loop that was reading this answer has been closed"))

    async def _step(self) -> None:
        try:
            chunk = await self.stream.__anext__()
        except BaseException as error:
            forsaken = self.moves(b"", error)
            if not isinstance(error, Exception):
                raise
        else:
            forsaken = self.moves(chunk, None)
        if forsaken:
            await self.stream.aclose()

    def moves(self, chunk: bytes, error: BaseException | None) -> bool:
        """One read has ended: whether nobody wants to know any more, and the stream is to be closed now."""
        if error is None:
            self.chunks.append(chunk)
            self.size += len(chunk)
        else:
            self.over = True
            self.error = None if isinstance(error, StopAsyncIteration) else error
            self._gone()
        return self.give_back()

    def give_back(self) -> bool:
        """The turn is free again: whether nobody is left, and the stream is to be closed now."""
        self.lone = False
        self.turn.append(None)
        return self.noticed()

    def noticed(self) -> bool:
        """Those who wait have been woken: whether nobody is left, and the stream is to be closed now."""
        if self.moved is not None:
            self._wake()
        return self.guests == 0 and self._ends()

    def _wake(self) -> None:
        def swap() -> Crowd | None:
            moved, self.moved = self.moved, None
            return moved

        moved = self._guard.do(swap)
        if moved is not None:
            moved.set()

    # ------------------------------------------------------------------ the end

    async def leave(self, runtime: Runtime) -> None:
        """One reader fewer; the stream is closed by the last one, or by the first that has read to the end."""
        if self._guard.do(self._leaves) and self._ends():
            if self.home.mine(runtime):
                await self.stream.aclose()
            else:
                self._close()

    def drop(self) -> None:
        """One reader fewer, from wherever the garbage collector runs; it takes what is left of the stream, too."""

        def leave() -> None:
            if self._leaves():
                self._ends()

        self._guard.post(leave)

    def _leaves(self) -> bool:
        """Whether the stream may be closed."""
        self.guests -= 1
        if self.guests and not self.stream.watcher.complete:
            return False
        self._gone()
        if self.guests == 0:
            # Both remember this flight, as it does this reading; they would stay until garbage is looked for.
            self.error, self._gone = None, _gone_already
            if self._running is not None and not self.turn:
                self._running.cancel()
        return True

    def _ends(self) -> bool:
        """Whether the end is ours to bring about: not where somebody is reading, who will see that nobody is left."""
        try:
            self.turn.pop()
        except IndexError:
            return False
        self.over = True
        return True

    def _close(self) -> None:
        try:
            self.home.start(self.stream.aclose)
        except RuntimeError:
            pass  # its loop has been closed, and its connections with it


def _gone_already() -> None: ...
