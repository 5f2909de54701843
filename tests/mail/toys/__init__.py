"""A managed kind and a daemon that mailprov does not know: each a folder, registered here and nowhere else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from mailprov import standard
from mailprov.engine.registry import Registry
from mailprov.resources.services import Services
from mailprov.roles import mailhost

HERE = Path(__file__).parent


def register() -> None:
    """Manage links, and look after toyd, which greets as $TOY says; without it neither is wanted."""
    from toys import link, toyd

    known = standard.REGISTRY
    shell = replace(
        known.shell,
        queries=(*known.shell.queries, (HERE / "link/query.sh").read_text()),
        steps=(*known.shell.steps, (HERE / "link/steps.sh").read_text()),
        daemons=(*known.shell.daemons, (HERE / "toyd/daemon.sh").read_text()),
    )
    standard.REGISTRY = Registry((*known.things, link), Services((*known.daemons, toyd.DAEMON)), shell, known.platform)
    mailhost.ROLES = (*mailhost.ROLES, toyd.role(os.environ.get("TOY", "")))
