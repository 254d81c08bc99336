"""A queue that a background thread works off."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread


class BackgroundQueue:
    """A thread that handles names one after another. It does not keep the process alive."""

    def __init__(self, do: Callable[[str], None]) -> None:
        """``do`` must not raise."""
        self._do = do
        self._names: SimpleQueue[str | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def add(self, name: str) -> None:
        """Returns at once."""
        self._names.put(name)

    def finish(self, seconds: float | None) -> bool:
        """Wait until the queue is empty, at most ``seconds`` (None: no limit); returns whether it is."""
        self._names.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (name := self._names.get()) is not None:
            self._do(name)
