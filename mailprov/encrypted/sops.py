"""Files of SOPS, opened by the program `sops` where it is on the path: bounded in time and size."""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mailprov import local_files
from mailprov.errors import FileError, brief

LARGEST: Final = 4 * 1024 * 1024
"""bytes of such a file, and of what is in it"""
SLOWEST: Final = 60.0
"""seconds: somebody may have to touch a key, or a cloud to answer"""
_PLAIN: Final = frozenset(
    {
        *("HOME", "USER", "LOGNAME", "PATH", "LANG", "LC_ALL", "TZ", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"),
        *("GNUPGHOME", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    }
)
_OF_KEYS: Final = ("SOPS_", "AWS_", "AZURE_", "GOOGLE_", "GCP_", "CLOUDSDK_", "VAULT_", "HUAWEICLOUD_")
"""how variables begin by which sops finds its keys; nothing else of the environment is handed on"""
_NO_KEY: Final = 128
_ENDS: Final = {
    51: ("its contents and its MAC do not belong together", "somebody edited it without sops: take it from Git"),
    _NO_KEY: ("none of your keys opens it", "have somebody who can open it add yours: sops updatekeys"),
}
"""what sops means by its exit codes (cmd/sops/codes)"""
_BY_HAND: Final = "run `sops --decrypt` on it by hand to see why"
_NUMBER: Final = re.compile("[0-9]{1,6}")


def decrypted(path: Path, environ: Mapping[str, str], *, as_json: bool = False) -> bytes:
    """What is in a file of SOPS; of one with keys, in JSON where that is wanted.

    Raises FileError, which shows none of it: `denied` where there is no sops, or none of its keys fits.
    """
    program = shutil.which("sops", path=environ.get("PATH", ""))
    if program is None:
        what, fix = "reading it needs sops, which is not on the PATH", "install sops, or use {age: …}"
        raise FileError(_about(path, what), fix=fix, denied=True)
    with local_files.opened(path, LARGEST):
        pass  # whatever is no regular file is not for sops either
    form = ("--output-type", "json") if as_json else ()
    code, output = _run((program, "--decrypt", *form, os.path.abspath(path)), path, environ)  # noqa: PTH100 - no link is followed
    if code:
        why, fix = _ENDS.get(code, (f"sops ended with exit code {code}", _BY_HAND))
        raise FileError(_about(path, why), fix=fix, denied=code == _NO_KEY)
    return output


def _run(argv: tuple[str, ...], path: Path, environ: Mapping[str, str]) -> tuple[int, bytes]:
    """How the program ended, and what it said. It gets no input, and what it says of errors is not shown: it may
    quote what it reads."""
    kept = {name: value for name, value in environ.items() if name in _PLAIN or name.startswith(_OF_KEYS)}
    null = subprocess.DEVNULL
    with subprocess.Popen(
        argv, stdin=null, stdout=subprocess.PIPE, stderr=null, env=kept, start_new_session=True
    ) as process:
        try:
            return _followed(process, path)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


def _followed(process: subprocess.Popen[bytes], path: Path) -> tuple[int, bytes]:
    assert process.stdout is not None  # noqa: S101 - for the type checker
    end, output = time.monotonic() + SLOWEST, bytearray()
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        while waiting.select(max(0.0, end - time.monotonic())):
            piece = os.read(process.stdout.fileno(), 1 << 16)
            output += piece
            if len(output) > LARGEST:
                what = f"holds more than {local_files.size(LARGEST)}"
                raise FileError(_about(path, what), fix="split it into several files")
            if not piece:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(max(0.0, end - time.monotonic())), bytes(output)
                break
    raise FileError(_about(path, f"sops took more than {SLOWEST:.0f} s"), fix=_BY_HAND, denied=True)


def parsed(data: bytes, path: Path) -> Any:
    """The JSON that sops has said. Raises FileError where it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise FileError(_about(path, "sops did not answer in JSON"), fix=_BY_HAND) from None


def value_at(document: Any, key: str, path: Path) -> str:
    """The text at `key` (a.b; in a list, a number from 0). Raises FileError where there is none."""
    node = document
    for step in key.split("."):
        if isinstance(node, list) and _NUMBER.fullmatch(step) and int(step) < len(node):
            node = node[int(step)]
        elif isinstance(node, dict) and step in node:
            node = node[step]
        else:
            raise FileError(_about(path, f"there is no `{brief(key)}` in it"), fix="name a key that it has")
    if not isinstance(node, str):
        kind = "a mapping" if isinstance(node, dict) else "a list" if isinstance(node, list) else "no text"
        fix = "name a key below it" if isinstance(node, dict | list) else "put it in quotes there"
        raise FileError(_about(path, f"`{brief(key)}` is {kind}"), fix=fix)
    return node


def _about(path: Path, what: str) -> str:
    return f"{brief(str(path), 200)}: {what}"
