"""What is proposed in place of a wrong value is right: it is written there, and the declaration is valid."""

from __future__ import annotations

import re

import pytest
from spec_tools import SMALL, Load

from mailprov.declaration import values
from mailprov.declaration.diagnostics import InvalidValue
from mailprov.errors import SpecError

USER = "{address: alice@example.com, KEY: "
WRONG = (
    *(("quota", text) for text in ("0", '"0"', "-1", "0MB", "2147483648", '"2147483648"', "1073741824B", "5G")),
    *(("quota", text) for text in ("none", "1024000000")),
    *(("quota", text) for text in ('"5 GiB "', "2 G", '"1,5GB"', '"123456789012"', "5 gigs", '"2,000,000"')),
    *(("expire", text) for text in ("90", '"90"', "90 days", "3 months", "1y", "2w")),
    *(("tls", text) for text in ('"995"', '"25"')),
    *(("port", text) for text in ('"22"', '"2222"')),
    *(("address", text) for text in ("LOCAL", "Local")),
    *(("allow_from", text) for text in ("[10.0.0.5/8]", '["2001:db8::1/32"]')),
    *(("protocols", text) for text in ("[pop]", "[POP3]", "[imaps]")),
)


def declared(key: str, text: str) -> str:
    if key == "tls":
        return SMALL.replace("{imap: true}", f"{{imap: true, pop3: {{tls: {text}}}}}")
    if key == "port":
        return SMALL.replace("192.0.2.10}", f"192.0.2.10, ssh: {{port: {text}}}}}")
    if key == "address":
        return SMALL.replace("192.0.2.10}", f"{text}}}")
    return SMALL.replace("{address: alice@example.com, ", f"{USER.replace('KEY', key)}{text}, ")


@pytest.mark.parametrize(("key", "text"), WRONG)
def test_a_cure_is_not_refused_in_turn(key: str, text: str, load_text: Load) -> None:
    with pytest.raises(SpecError) as caught:
        load_text(declared(key, text))
    (said,) = caught.value.errors
    found = re.search(r"(?:did you mean|without quotes:|its unit:|a unit:) `?([^`?,;]+)", said.fix)
    assert found, said
    right = f"[{found[1]}]" if text.startswith("[") else found[1]
    load_text(declared(key, f'["{found[1]}"]' if ":" in right and text.startswith("[") else right))


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("expire", "0", "leave it out to keep mail for ever"),
        ("expire", "never", "leave it out to keep mail for ever"),
        ("tls", "yes", "for example 995; or false"),
        ("tls", '"70000"', "for example 995; or false"),
        ("address", "192.0.2.310", "not an IP address"),
        ("address", "192.0.2", "not an IP address"),
        ("address", "192.0.2.010", "not an IP address"),
        ("address", "0x7f.1", "not an IP address"),
        ("address", "10", "for example 192.0.2.10"),
        ("address", "0.0.0.0", "is the address of no machine"),  # noqa: S104
        ("address", '"[::]"', "is the address of no machine"),
        ("address", "255.255.255.255", "is the address of no machine"),
        ("address", '"ff02::1"', "is the address of no machine"),
        ("port", "0", "choose from 1 to 65535"),
        ("quota", "5", "give the number a unit: 2GiB, 500MB"),
    ],
)
def test_what_cannot_be_guessed(key: str, text: str, words: str, load_text: Load) -> None:
    with pytest.raises(SpecError) as caught:
        load_text(declared(key, text))
    (said,) = caught.value.errors
    assert words in str(said)


def test_a_jump_host_is_an_address_like_any_other(load_text: Load) -> None:
    with pytest.raises(SpecError, match=r"192\.0\.2\.310.* is not an IP address"):
        load_text(SMALL.replace("192.0.2.10}", "192.0.2.10, ssh: {jump: admin@192.0.2.310}}"))


@pytest.mark.parametrize("unit", ["", "B", "K", "M", "G", "T", " MB", "x"])
def test_whatever_is_proposed_for_a_size_is_one(unit: str) -> None:
    for number in (*range(300), 1023, 1024, 2**20 - 1, 2**20, 2**20 + 1, 10**9, 2**31, 10**12 + 7, 2**60):
        try:
            values.quota(f"{number}{unit}")
        except InvalidValue as wrong:
            found = re.search(r"did you mean `?([^`?]+)", wrong.fix)
            if found:
                values.quota(found[1])
