"""Optional parts of mailprov that are not installed here: what to type to have them, however mailprov was installed."""

from __future__ import annotations

import os
import re
import shlex
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from importlib.util import find_spec
from pathlib import Path

_OF_EXTRA = re.compile(r"([^;]+?)\s*;\s*extra\s*==\s*[\"']([\w-]+)[\"']\s*")
IMAGE = "image"
"""the file in the environment of a container image that says that it is one (Containerfile)"""

BUILT_IN = ("age", "xlsx")
"""the extras that mailprov.pyz and the image have by themselves"""


class Way(Enum):
    """How mailprov came to be on this machine."""

    PIP = auto()
    """into a virtual environment, or a Python that nobody manages"""
    SYSTEM_PIP = auto()
    """by pip into the Python of a distribution, which pip does only when told that this is meant (PEP 668)"""
    UV = auto()
    PIPX = auto()
    ZIPAPP = auto()
    """mailprov.pyz"""
    IMAGE = auto()
    """the image that the Containerfile describes"""
    DISTRIBUTION = auto()
    """as a package of the distribution"""
    SOURCE = auto()
    """not at all: a folder that Python was pointed to"""


def way() -> Way:
    """How the mailprov that runs was installed: by what installers leave beside it."""
    from importlib.metadata import PackageNotFoundError, distribution  # costly, and seldom wanted

    try:
        installer = (distribution("mailprov").read_text("INSTALLER") or "").strip()
    except PackageNotFoundError:
        return Way.SOURCE
    prefix = Path(sys.prefix)
    if installer == "pex":
        return Way.ZIPAPP
    if (prefix / IMAGE).is_file():
        return Way.IMAGE
    if (prefix / "pipx_metadata.json").is_file() or "pipx" in prefix.parts:
        return Way.PIPX
    if sys.prefix == sys.base_prefix and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").is_file():
        return Way.SYSTEM_PIP if installer == "pip" else Way.DISTRIBUTION
    return Way.PIP if find_spec("pip") else Way.UV


def install(extra: str) -> str:
    """How the packages of `extra` are added to the very Python that runs mailprov.

    They are named one by one, for `mailprov[extra]` means nothing to an installer that has mailprov from a folder.
    """
    packages = requirements(extra)
    how = way()
    if not packages or how is Way.SOURCE:
        return f"install mailprov with its extra `{extra}`"
    if how is Way.IMAGE:
        held = ",".join(dict.fromkeys((*BUILT_IN, extra)))
        return f"build the image with it: --build-arg EXTRAS={held} (see its Containerfile)"
    return f"{_command(how, packages)} (the extra `{extra}`)"


def _command(how: Way, packages: tuple[str, ...]) -> str:
    wanted, python = shlex.join(packages), shlex.quote(sys.executable)
    match how:
        case Way.PIPX:
            return f"pipx inject mailprov {wanted}"
        case Way.UV:
            return f"uv pip install --python {python} {wanted}"
        case Way.SYSTEM_PIP:
            return f"{python} -m pip install --break-system-packages {wanted}"
        case Way.ZIPAPP:
            return _beside_zipapp(wanted)
        case Way.DISTRIBUTION:
            names = ", ".join(re.split(r"[<>=~!;\[ ]", each)[0] for each in packages)
            return (
                f"install your distribution's packages of {names} (Debian's are called python3-…); "
                "where it has none, run mailprov.pyz, or install mailprov with pipx"
            )
        case _:
            return f"{python} -m pip install {wanted}"


def _beside_zipapp(wanted: str) -> str:
    """The zipapp stays as it is: what is added lies in a folder beside it, which a variable names.

    Its own environment has no pip, so the Python that it was made from has to do that.
    """
    program = Path(os.environ.get("PEX") or "mailprov.pyz")
    beside = shlex.quote(f"{program}.extras")
    python = shlex.quote(str(Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")))
    return (
        f"{python} -m pip install --target {beside} {wanted}, "
        f"then PEX_EXTRA_SYS_PATH={beside} {shlex.quote(str(program))} …"
    )


def requirements(extra: str) -> tuple[str, ...]:
    """What `extra` asks for, in pip's words; () where mailprov was not installed as a package."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        declared = requires("mailprov") or ()
    except PackageNotFoundError:
        return ()
    return tuple(_of(extra, declared))


def _of(extra: str, declared: Iterable[str]) -> Iterator[str]:
    for line in declared:
        found = _OF_EXTRA.fullmatch(line)
        if found and found[2] == extra:
            yield found[1]
