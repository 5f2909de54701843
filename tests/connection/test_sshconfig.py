"""The way to a host: the declaration, ~/.ssh/config, OpenSSH's defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mailprov.connection.sshconfig import SshConfig, Target, load_config, route
from mailprov.errors import ConnectError
from mailprov.model import HostSpec

Declare = Callable[..., HostSpec]
HOME = Path("/home/me")


def config(tmp_path: Path, text: str, **environ: str) -> SshConfig:
    file = tmp_path / "config"
    file.write_text(text)
    return load_config(file, environ={"HOME": str(HOME), "LOGNAME": "me", **environ})


def last(spec: HostSpec, settings: SshConfig) -> Target:
    return route(spec, settings)[-1]


def test_without_any_configuration_the_defaults_are_those_of_openssh(declare: Declare) -> None:
    target = last(declare(address="mail.example"), SshConfig(home=HOME, user="me"))
    assert (target.host, target.port, target.user, target.timeout) == ("mail.example", 22, "me", 10)
    assert [path.name for path in target.identities] == ["id_ed25519", "id_ecdsa", "id_rsa"]
    assert target.known_hosts[0] == HOME / ".ssh/known_hosts"
    assert (target.explicit, target.identities_only, target.agent) == (False, False, None)
    assert str(target) == "me@mail.example:22"
    assert target.where == "mail1 (me@mail.example:22)"


def test_the_configuration_is_followed(tmp_path: Path, declare: Declare) -> None:
    settings = config(
        tmp_path,
        """
        Host other
            User wrong
        host mail   # an alias
            HostName=%h.example.com
            User "admin"
            Port 2222
            IdentityFile ~/.ssh/%r_key
            IdentityFile /keys/%h
            IdentitiesOnly yes
            ConnectTimeout 3
            UserKnownHostsFile ~/.ssh/mine /etc/theirs
            IdentityAgent ~/agent.sock
            HostKeyAlias the-mail-host
            StrictHostKeyChecking no
        Host *
            User nobody
            Port 1
            IdentityFile /keys/all
        """,
        SSH_AUTH_SOCK="/ignored",
    )
    target = last(declare(address="mail"), settings)
    assert (target.user, target.host, target.port, target.timeout) == ("admin", "mail.example.com", 2222, 3)
    assert target.identities == (HOME / ".ssh/admin_key", Path("/keys/mail.example.com"), Path("/keys/all"))
    assert target.identities_only
    assert target.known_hosts[:2] == (HOME / ".ssh/mine", Path("/etc/theirs"))
    assert target.agent == HOME / "agent.sock"
    assert target.known_name == "the-mail-host"


def test_the_declaration_wins(tmp_path: Path, declare: Declare) -> None:
    settings = config(tmp_path, "User admin\nPort 2222\nIdentityFile /keys/a\nProxyJump bastion\nConnectTimeout 3")
    spec = declare(
        address="mail",
        user="root",
        port=22,
        identity_file=Path("~/k"),
        known_hosts=Path("kh"),
        jump="none",
        connect_timeout=5.0,
    )
    (target,) = route(spec, settings)
    assert (str(target), target.timeout, target.explicit) == ("root@mail:22", 5, True)
    assert (target.identities, target.known_hosts) == ((HOME / "k",), (Path("kh"),))


@pytest.mark.parametrize(
    ("match", "holds"),
    [
        ("host *.example", True),
        ("host a.example,b.example", True),
        ("originalhost mail", True),
        ("originalhost *.example", False),
        ("user root", False),
        ("user admin", True),
        ("localuser me", True),
        ("!localuser me", False),
        ("localuser me user admin", True),
        ("localuser me user root", False),
        ("all", True),
        ("canonical", False),
        ('exec "true"', False),
        ("!exec true", True),
    ],
)
def test_match(tmp_path: Path, declare: Declare, match: str, holds: bool) -> None:
    settings = config(tmp_path, f"Host mail\nHostName a.example\nUser admin\nMatch {match}\nPort 2222\n")
    assert last(declare(address="mail"), settings).port == (2222 if holds else 22)


def test_negated_hosts(tmp_path: Path, declare: Declare) -> None:
    settings = config(tmp_path, "Host *.example !b.example\nPort 2222\n")
    assert last(declare(address="a.example"), settings).port == 2222
    assert last(declare(address="b.example"), settings).port == 22


def test_includes_hold_where_they_stand(tmp_path: Path, declare: Declare) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/1").write_text("Port 2201\nHost a\nUser included\n")
    (tmp_path / "d/2").write_text(f"User second\nInclude {tmp_path}/d/2\n")  # includes itself
    settings = config(tmp_path, f"Host a b\nInclude {tmp_path}/d/* {tmp_path}/none\nHostName after\nHost c\nPort 3\n")
    a, b, c = (last(declare(address=name), settings) for name in "abc")
    assert (a.user, a.port, a.host) == ("included", 2201, "after")
    assert (b.user, b.port, b.host) == ("second", 2201, "after")
    assert (c.user, c.port, c.host) == ("me", 3, "c")


def test_a_missing_configuration_is_empty_unless_it_was_named(tmp_path: Path) -> None:
    assert load_config(environ={"HOME": str(tmp_path)}).home == tmp_path
    with pytest.raises(ConnectError, match="there is no SSH configuration"):
        load_config(tmp_path / "none", environ={})
    with pytest.raises(ConnectError, match="cannot read the SSH configuration"):
        load_config(tmp_path, environ={})


# --- jump hosts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jump", "ways"),
    [
        ("bastion", ["me@bastion:22"]),
        ("ops@bastion:2222", ["ops@bastion:2222"]),
        ("a,ops@b:2222", ["me@a:22", "ops@b:2222"]),
        ("[2001:db8::1]:22", ["me@[2001:db8::1]:22"]),
        ("ssh://ops@bastion:2222", ["ops@bastion:2222"]),
    ],
)
def test_jumps(declare: Declare, jump: str, ways: list[str]) -> None:
    way = route(declare(user="root", jump=jump), SshConfig(home=HOME, user="me"))
    assert [str(target) for target in way] == [*ways, "root@192.0.2.1:22"]
    assert way[0].where == f"mail1, jump host {ways[0]}"


@pytest.mark.parametrize("jump", ["a@", "a:b", "a:0", "a:99999", "a b", "a,,b", "-oProxyCommand=x:1:2"])
def test_a_jump_that_makes_no_sense_is_told(declare: Declare, jump: str) -> None:
    with pytest.raises(ConnectError, match="cannot be understood"):
        route(declare(jump=jump), SshConfig(home=HOME, user="me"))


def test_a_jump_host_has_a_configuration_of_its_own(tmp_path: Path, declare: Declare) -> None:
    settings = config(
        tmp_path,
        """
        Host bastion
            HostName bastion.example
            User ops
            IdentityFile /keys/bastion
            ProxyJump outer
        Host mail
            ProxyJump bastion
        """,
    )
    outer, bastion, mail = route(declare(address="mail", identity_file=Path("/keys/mail")), settings)
    assert [str(outer), str(bastion), str(mail)] == ["me@outer:22", "ops@bastion.example:22", "me@mail:22"]
    assert bastion.identities == (Path("/keys/bastion"),)
    assert not bastion.explicit
    assert (outer.identities, mail.identities) == ((Path("/keys/mail"),), (Path("/keys/mail"),))


def test_the_declared_known_hosts_serve_a_jump_host_next_to_the_users_own(declare: Declare) -> None:
    hop, host = route(declare(jump="bastion", known_hosts=Path("/kh")), SshConfig(home=HOME, user="me"))
    assert host.known_hosts == (Path("/kh"),)
    assert hop.known_hosts[:2] == (Path("/kh"), HOME / ".ssh/known_hosts")


def test_jumps_in_a_circle_are_told(tmp_path: Path, declare: Declare) -> None:
    settings = config(tmp_path, "Host a\nProxyJump b\nHost b\nProxyJump a\n")
    with pytest.raises(ConnectError, match="in a circle"):
        route(declare(address="a"), settings)


def test_a_proxy_command_is_told_rather_than_passed_over(tmp_path: Path, declare: Declare) -> None:
    settings = config(tmp_path, "Host a\nProxyCommand ssh -W %h:%p bastion\nHost b\nProxyCommand none\n")
    with pytest.raises(ConnectError, match="ProxyCommand"):
        route(declare(address="a"), settings)
    assert len(route(declare(address="a", jump="bastion"), settings)) == 2
    assert len(route(declare(address="b"), settings)) == 1


def test_many_stars_take_no_time(tmp_path: Path, declare: Declare) -> None:
    stars = "*a" * 500 + "*z"
    settings = config(tmp_path, f"Host {stars}\nUser other\nMatch originalhost {stars}\nUser other\n")
    assert last(declare(address="a" * 250), settings).user == "me"


@pytest.mark.parametrize("port", ["1" * 5000, "99999", "0", "ssh", "\u0662\u0662"])
def test_a_port_that_is_none(port: str, tmp_path: Path, declare: Declare) -> None:
    with pytest.raises(ConnectError, match=r"the Port .{1,40} in ~/\.ssh/config is none"):
        route(declare(address="mail.example"), config(tmp_path, f"Port {port}"))


@pytest.mark.parametrize(
    ("said", "seconds"), [("3", 3), ("0030", 30), ("9" * 400, 600), ("1" * 5000, 600), ("0", 10), ("none", 10)]
)
def test_how_long_a_connection_is_waited_for(said: str, seconds: float, tmp_path: Path, declare: Declare) -> None:
    assert last(declare(address="mail.example"), config(tmp_path, f"ConnectTimeout {said}")).timeout == seconds
