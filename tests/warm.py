"""Python programs that start warm: forked from a process that has loaded libraries, and nothing of mailprov.

Tests start mailprov thousands of times, and most of each start is the loading of libraries. Run as a program, this is
the process that forks; `Warm` is used as subprocess.Popen is, for `python -c CODE WORD...`.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LIBRARIES = ("click", "rich.console", "yaml", "jsonschema", "jinja2", "cryptography.x509", "dns.resolver")
FDS = 3


class Warm(subprocess.Popen[str]):
    """A program whose first two words are `sys.executable` and "-c"; it begins in a process that is warm already."""

    def _execute_child(self, args: Any, *more: Any) -> None:
        """Where Popen forks: the process that forks here is another one. `more` ends with what Popen made of it."""
        _, _, _, _, cwd, env, _, _, _, child_in, to_child, from_child, child_out, from_error, child_err = more[:15]
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._channel.connect(_forker())
        asked = json.dumps({"code": args[2], "words": args[3:], "cwd": os.fspath(cwd), "env": dict(env)}).encode()
        socket.send_fds(self._channel, [len(asked).to_bytes(4, "big")], [child_in, child_out, child_err])
        self._channel.sendall(asked)
        self.pid = int.from_bytes(self._channel.recv(4, socket.MSG_WAITALL), "big")
        self._child_created = True
        self._close_pipe_fds(child_in, to_child, from_child, child_out, from_error, child_err)  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        """As os.waitpid: who forked it hears how it ended, and says so."""
        self._channel.setblocking(not wait_flags & os.WNOHANG)
        try:
            told = self._channel.recv(4, 0 if wait_flags & os.WNOHANG else socket.MSG_WAITALL)
        except BlockingIOError:
            return 0, 0
        self._channel.close()
        return self.pid, int.from_bytes(told, "big")

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


_places: dict[int, str] = {}
"""by process: where the one listens that forks for it"""


def _forker() -> str:
    """Where the process listens that forks for this one."""
    if os.getpid() not in _places:
        folder = tempfile.mkdtemp(prefix="warm")
        place = f"{folder}/socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.bind(place)
            door.listen(64)
            process = subprocess.Popen(
                (sys.executable, str(Path(__file__)), str(door.fileno())),
                pass_fds=(door.fileno(),),
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
                stdin=subprocess.PIPE,  # which ends when this process does, however that happens
                stdout=subprocess.PIPE,  # of the same sort as those of the programs will be
                stderr=subprocess.STDOUT,
            )
        atexit.register(process.kill)
        _places[os.getpid()] = place
    return _places[os.getpid()]


# --- the process that forks


def _serve(door: socket.socket) -> dict[str, Any]:
    """Fork whenever somebody asks. Returns in each child alone: what it was asked to do."""
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as waiting:
        waiting.register(door, selectors.EVENT_READ)
        waiting.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fd == 0:
                    os._exit(0)
                elif key.fileobj is door:
                    channel, _ = door.accept()
                    asked, fds = _asked(channel)
                    if (pid := os.fork()) == 0:
                        for number, fd in enumerate(fds):
                            os.dup2(fd, number)
                        os.closerange(FDS, 1024)
                        return asked
                    for fd in fds:
                        os.close(fd)
                    channel.sendall(pid.to_bytes(4, "big"))
                    watch = os.pidfd_open(pid)
                    running[watch] = (pid, channel)
                    waiting.register(watch, selectors.EVENT_READ)
                else:
                    pid, channel = running.pop(key.fd)
                    waiting.unregister(key.fd)
                    os.close(key.fd)
                    with contextlib.suppress(OSError), channel:
                        channel.sendall(os.waitpid(pid, 0)[1].to_bytes(4, "big"))


def _asked(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, fds, _, _ = socket.recv_fds(channel, 4, FDS)
    size, text = int.from_bytes(head, "big"), b""
    while len(text) < size:
        text += channel.recv(size - len(text))
    return json.loads(text), fds


if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    sys.modules["invoke"] = None  # type: ignore[assignment]  # as mailprov.connection.ssh has it
    importlib.import_module("paramiko")
    del sys.modules["invoke"]
    order = _serve(socket.socket(fileno=int(sys.argv[1])))
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["-c", *order["words"]]
    sys.path[0] = ""
    exec(compile(order["code"], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102
