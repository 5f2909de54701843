"""Who is told of which listener, in which order; and names of folders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profile_makers import EVERY, LONG, host, profile, user

from mailprov import profiles
from mailprov.model import Domain, Listener, Protocol_, Services, User
from mailprov.profiles.paths import LONGEST

POP3S_ONLY = Services(pop3=Listener(tls=995), submission=Listener(starttls=587))
IMAP_ONLY = Services(imap=Listener(143), submission=Listener(tls=465))


@pytest.mark.parametrize(
    ("services", "protocols", "ports"),
    [
        (EVERY, ("pop3", "imap", "submission"), ([995, 110, 993, 143], [465, 587])),
        (EVERY, ("imap", "submission"), ([993, 143], [465, 587])),
        (EVERY, ("pop3",), ([995, 110], [])),
        (POP3S_ONLY, ("pop3", "imap", "submission"), ([995], [587])),
        (IMAP_ONLY, ("pop3", "imap", "submission"), ([143], [465])),
    ],
)
def test_only_what_is_declared_and_allowed_the_best_first(
    services: Services, protocols: tuple[Protocol_, ...], ports: tuple[list[int], list[int]]
) -> None:
    found = profile(user("a@example.com", "A", *protocols), host(services))
    assert ([server.port for server in found.incoming], [server.port for server in found.outgoing]) == ports


@pytest.mark.parametrize(("prefer", "first"), [("pop3", 995), ("imap", 993)])
def test_policy_says_what_comes_first(prefer: Protocol_, first: int) -> None:
    found = profiles.of_user(user(), host(), profiles.servers(host()), prefer)
    assert found is not None
    assert found.receives.port == first


@pytest.mark.parametrize(
    ("services", "someone"),
    [
        (IMAP_ONLY, user("a@example.com", "A", "pop3", "submission")),
        (EVERY, User("a@example.com", user().password, protocols=frozenset())),
        (Services(submission=Listener(587, 465), smtp=25), user()),
    ],
)
def test_no_profile_without_a_way_to_fetch_mail(services: Services, someone: User) -> None:
    assert profiles.of_user(someone, host(services), profiles.servers(host(services))) is None


def test_what_could_not_be_verified_is_not_told() -> None:
    left = profiles.without(profiles.servers(host()), {("pop3", 995), ("submission", 465)})
    assert [server.port for server in left] == [110, 993, 143, 587]


def test_a_domain_serves_everybody() -> None:
    found = profiles.of_domain(Domain("example.com", ("mail1",)), profiles.servers(host()))
    assert found is not None
    assert (found.domain, len(found.incoming)) == ("example.com", 4)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("alice@example.com", "alice@example.com"),
        ("a.b-c_d@example.com", "a.b-c_d@example.com"),
        ("..@example.com", "%2E%2E@example.com"),
        (".hidden@x", "%2Ehidden@x"),
        ("a/b@x", "a%2Fb@x"),
        ("A@x", "%41@x"),
        ("a%2Fb@x", "a%252%46b@x"),
        ("李@x", "%E6%9D%8E@x"),
        ("", "%"),
    ],
)
def test_a_folder_is_named_for_an_address(address: str, name: str) -> None:
    assert profiles.folder_of(address) == name


@given(st.lists(st.text(max_size=300) | st.text("./\\%~aA\0", max_size=300), min_size=2, max_size=2, unique=True))
def test_no_address_leaves_its_folder_or_shares_it(addresses: list[str]) -> None:
    names = [profiles.folder_of(address) for address in addresses]
    assert len({name.casefold() for name in names}) == len(addresses)
    for name in names:
        assert 0 < len(name.encode()) <= LONGEST
        assert not set(name) & set('/\\:*?"<>|\0') and not name.startswith(".") and not name.endswith(".")


def test_a_long_address_is_its_own_folder() -> None:
    assert profiles.folder_of(LONG) == LONG
