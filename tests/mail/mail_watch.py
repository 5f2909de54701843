"""Every process of this machine and of the lab's hosts, watched for words that no command line may hold."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def watching(words: Iterable[str]) -> Iterator[set[str]]:
    """Read every process's command line here and on every lab host, and the environment of those that are not ours, all
    the time; gives the words that were seen."""
    seen: set[str] = set()
    wanted = {word.encode(): word for word in words}
    over = threading.Event()
    ours = Path("/proc/self/ns/pid").readlink()

    def look() -> None:
        while not over.wait(0.005):
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    text = (process / "cmdline").read_bytes()
                    if (process / "ns/pid").readlink() != ours:
                        text += (process / "environ").read_bytes()
                    seen.update(word for data, word in wanted.items() if data in text)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
