"""Where the shipped data files are: `schemas/` and `templates/`."""

from __future__ import annotations

from pathlib import Path

from mailprov.errors import MailprovError

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `name` of shipped data.

    A wheel carries it inside the package; a checkout and an editable install have it beside the package.
    Raises MailprovError when it is in neither place.
    """
    for parent in (_PACKAGE, _PACKAGE.parent):
        if (found := parent / name).is_dir():
            return found
    raise MailprovError(
        f"the data folder {name}/ is missing",
        where=str(_PACKAGE),
        why="the installation is incomplete",
        cure="install mailprov again",
    )
