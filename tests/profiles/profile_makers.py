"""People, a host, and what their files are made with."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache

from mailprov import profiles
from mailprov.assets import folder
from mailprov.model import Firewall, HostSpec, Listener, Password, Protocol_, Services, Ssh, Tls, User
from mailprov.profiles.guide import language
from mailprov.profiles.typeset import Typesetter
from mailprov.render import render

MADE = date(2026, 11, 23)
EVERY = Services(Listener(110, 995), Listener(143, 993), Listener(587, 465), 25)
LI = "li.lei@xn--fsqu00a.xn--55qx5d"  # 例子.公司
LONG = "maximiliane.alexandrina.schmidt-rottluff@international-headquarters.subsidiary.example-corporation.com"
LONG_NAME = "Maximiliane Alexandrina von und zu Schmidt-Rottluff-Hohenlohe-Langenburg"


def host(services: Services = EVERY, hostname: str = "mail.example.com") -> HostSpec:
    return HostSpec("mail1", "192.0.2.1", hostname, Ssh(), False, Tls("on_host"), services, Firewall())


def user(address: str = LI, name: str = "李雷", *protocols: Protocol_, quota: int | None = 2 << 30) -> User:
    allowed = frozenset(protocols or ("pop3", "imap", "submission"))
    return User(address, Password("managed", "a test"), name, quota, allowed)


def profile(someone: User, where: HostSpec | None = None) -> profiles.Profile:
    where = where or host()
    found = profiles.of_user(someone, where, profiles.servers(where))
    assert found is not None
    return found


@cache
def typesetter() -> Typesetter:
    return Typesetter("profiles/guide.typ", datetime(2026, 11, 23, tzinfo=UTC))


def words(tag: str) -> dict[str, object]:
    return dict(language((folder("templates") / f"profiles/{tag}.toml").read_text(encoding="utf-8")))


def means(*tags: str, helpdesk: str = "") -> profiles.RenderContext:
    return profiles.RenderContext(render, typesetter(), tuple(map(words, tags)), MADE, None, helpdesk)
