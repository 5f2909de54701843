"""Opens the door to a declared host: this machine or another; SSH is loaded only where it is needed."""

from __future__ import annotations

import os
from collections.abc import Callable

from mailprov.connection import Host
from mailprov.connection.sshconfig import SshConfig, load_config
from mailprov.model import HostSpec, Secret

LOCAL = "local"


def open_host(spec: HostSpec, *, config: SshConfig | None = None, ask: Callable[[str], Secret] | None = None) -> Host:
    """A session with a declared host; the caller closes it.

    `config` is the user's side of SSH, ~/.ssh/config and the environment where None is given. `ask` is asked for the
    passphrase of an encrypted key; None: nobody is there.

    Raises ConnectError, which says what to do.
    """
    if spec.address == LOCAL:
        from mailprov.connection.local import LocalHost

        return LocalHost(spec, root=os.geteuid() == 0)
    from mailprov.connection.ssh import connect

    return connect(spec, config=config or load_config(environ=os.environ), ask=ask)
