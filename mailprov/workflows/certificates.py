"""The certificates that hosts serve, looked at as a client would, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from mailprov.checks import Endpoint, Trust, Watched, check_listener, watched
from mailprov.errors import MailprovError
from mailprov.model import HostSpec
from mailprov.workflows import client_view

_AT_ONCE = 16


def watch(chosen: Sequence[HostSpec], least: int, *, ssh: bool) -> tuple[list[Watched], list[MailprovError]]:
    """What each listener of each host serves, judged by `least` days; and why some hosts could not be asked.

    A host that keeps its certificate itself is asked for it by SSH, unless `ssh` is False.
    """
    now = datetime.now(UTC)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        names = [declared.name for declared in chosen]
        trusted = dict(zip(names, pool.map(lambda declared: _trust(declared, ssh=ssh), chosen), strict=True))
        ends = [(declared, endpoint) for declared in chosen for endpoint in client_view.reached(declared)]

        def look(end: tuple[HostSpec, Endpoint]) -> Watched:
            declared, endpoint = end
            found = trusted[declared.name]
            known = Trust() if isinstance(found, MailprovError) else found
            checks = check_listener(endpoint, known, now=now, brief=True)
            closed = {rule.port for rule in client_view.narrowed(declared)}
            return watched(declared.name, endpoint, checks, now, least, closed)

        seen = list(pool.map(look, ends))
    return seen, [found for found in trusted.values() if isinstance(found, MailprovError)]


def _trust(declared: HostSpec, *, ssh: bool) -> Trust | MailprovError:
    """What the host should serve; or why it cannot be told which certificate it keeps."""
    try:
        return client_view.asked_trust(declared) if ssh else client_view.trust(declared, "")
    except MailprovError as error:
        error.at(declared.name)
        return error
