"""Things that are done one after another while the work goes on."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread


class BackgroundQueue:
    """A thread that takes names from a queue. It does not keep the process from ending."""

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
        """Wait until all is done, ``seconds`` at most (None: as long as it takes); whether it is."""
        self._names.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (name := self._names.get()) is not None:
            self._do(name)
