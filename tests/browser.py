"""A browser without a window, spoken to over two pipes: how pages look on a phone and on paper.

It speaks the Chrome DevTools Protocol (https://chromedevtools.github.io/devtools-protocol/), messages of JSON that end
in a NUL: descriptor 3 is what it reads, 4 what it writes. No port is open meanwhile, and no library is needed.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

PROGRAMS: Final = ("chromium-headless-shell", "chromium")
PATIENCE: Final = 120
"""seconds for an answer, on a machine that has much else to do"""
OPTIONS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-quic", "--disable-extensions"),
)
_FONTS: Final = "<fontconfig><dir>{}</dir><cachedir>{}</cachedir></fontconfig>"


class Browser:
    """One tab of one browser. Raises AssertionError where it does not answer, or says that something went wrong."""

    def __init__(self, asks: int, answers: int) -> None:
        self._asks, self._answers = asks, answers
        self._rest = b""
        self._asked = 0
        self._session: dict[str, str] = {}
        self._happened: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        self._call("Page.enable")

    def show(self, file: Path, width: int, height: int = 844, query: str = "") -> None:
        """Load a page on a phone of that width, in CSS pixels; pictures and fonts are there when this returns."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=True)
        self._happened.clear()
        self._call("Page.navigate", url=f"{file.as_uri()}{query and '?'}{quote(query, safe='=')}")
        while "Page.loadEventFired" not in self._happened:
            self._receive()

    def ask(self, script: str) -> Any:
        """What an expression of JavaScript says of the page."""
        said = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def until(self, script: str) -> Any:
        """What an expression says as soon as that is not empty or null; which of both it is, where that never comes."""
        end = time.monotonic() + PATIENCE / 4
        while not (said := self.ask(script)) and time.monotonic() < end:
            time.sleep(0.05)
        return said

    def picture(self, *, whole: bool = True) -> bytes:
        """The page as PNG: all of it, however long it is, or what is on the screen."""
        return b64decode(self._call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def print(self) -> bytes:
        """The page as PDF, with the paper and the margins that it asks for."""
        return b64decode(self._call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])

    def _call(self, method: str, **values: object) -> dict[str, Any]:
        self._asked += 1
        asked = {"id": self._asked, "method": method, "params": values, **self._session}
        data = json.dumps(asked).encode() + b"\0"
        while data:
            data = data[os.write(self._asks, data) :]
        while (said := self._receive()).get("id") != self._asked:
            pass
        assert "error" not in said, (method, said["error"])
        result: dict[str, Any] = said["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._answers], [], [], PATIENCE)[0], f"the browser is silent for {PATIENCE} seconds"
            more = os.read(self._answers, 1 << 20)
            assert more, "the browser has ended by itself"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        said: dict[str, Any] = json.loads(message)
        self._happened.append(said.get("method", ""))
        return said


@contextmanager
def browser(folder: Path, fonts: Path) -> Iterator[Browser]:
    """A browser that keeps what it has in `folder`. `fonts` is the only folder that it has fonts from.

    With the fonts of this machine a page would fit here and not there. Raises AssertionError where there is none.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    assert program, f"no browser here ({' or '.join(PROGRAMS)}): run script/setup --test"
    config = folder / "fonts.conf"
    config.write_text(_FONTS.format(fonts, folder / "cache"), encoding="utf-8")
    reads, asks = os.pipe()
    answers, writes = os.pipe()
    turned = f'exec "$@" --remote-debugging-pipe 3</dev/fd/{reads} 4>/dev/fd/{writes}'
    # `sh` gives the pipes the numbers that the browser wants. What it says of itself interests nobody.
    started = subprocess.Popen(
        ["/bin/sh", "-c", turned, "sh", program, *OPTIONS, f"--user-data-dir={folder / 'profile'}"],
        pass_fds=(reads, writes),
        env={**os.environ, "FONTCONFIG_FILE": str(config), "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(reads)
    os.close(writes)
    try:
        yield Browser(asks, answers)
    finally:
        os.close(asks)
        os.close(answers)
        # Debian's program is a script that starts the browser: both are ended.
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()
