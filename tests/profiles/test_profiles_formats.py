"""Each format against its own rules, read by a reader that others wrote, whatever people are called."""

from __future__ import annotations

import io
import json
import plistlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from PIL import Image
from profile_makers import EVERY, LI, LONG, LONG_NAME, host, means, profile, user

from mailprov import profiles
from mailprov.encode import EncodeError, xml
from mailprov.errors import MailprovError
from mailprov.model import Domain, Listener, Secret, Services
from mailprov.profiles import apple, discovery, qr, snippets
from mailprov.profiles.signing import signer
from mailprov.render import render

HERE = Path(__file__).parent
AUTODISCOVER = {
    "a": "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006",
    "o": "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a",
}
SETTINGS = [
    profile(user()),
    profile(user(LONG, LONG_NAME, "imap", "submission")),
    profile(user("bob@example.com", "", "pop3")),
    profile(user(), host(Services(Listener(starttls=110), Listener(), Listener(starttls=587)))),
]
XML_TEXT = st.text(st.characters(blacklist_categories=("Cc", "Cs"), blacklist_characters="\ufffe\uffff"))
HOSTILE = XML_TEXT | st.sampled_from(['"><script>', "</Server>&x;", "]]>", "\t\r\n", "{{ 1 }}", "#sys.inputs", "%s"])


# --- autoconfig


@pytest.fixture(scope="module")
def rules() -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(HERE / "autoconfig.rng"))


def servers_of(document: etree._Element) -> Iterator[tuple[str, str, str, str]]:
    for server in document.iter("incomingServer", "outgoingServer"):
        yield (
            str(server.get("type")),
            str(server.findtext("port")),
            str(server.findtext("socketType")),
            str(server.findtext("username")),
        )


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.address[:12])
def test_autoconfig_keeps_the_published_rules(settings: profiles.Profile, rules: etree.RelaxNG) -> None:
    made = discovery.autoconfig(settings, render)
    assert not made.startswith(b"\xef\xbb\xbf")
    document = etree.fromstring(made)
    assert rules.validate(document), rules.error_log
    told = [
        ("smtp" if server.protocol == "submission" else server.protocol, str(server.port), server.mode.upper())
        for server in (*settings.incoming, *settings.outgoing)
    ]
    assert [(kind, port, mode.replace("SSL", "TLS")) for kind, port, mode, _ in servers_of(document)] == told
    assert {name for *_, name in servers_of(document)} == {settings.address}


def test_the_rules_refuse_what_is_wrong(rules: etree.RelaxNG) -> None:
    made = discovery.autoconfig(SETTINGS[0], render).decode()
    for right, wrong in [("<port>995<", "<port>0<"), (">SSL<", ">ssl<"), ('version="1.1"', ""), ("hostname", "host")]:
        assert right in made
        assert not rules.validate(etree.fromstring(made.replace(right, wrong).encode()))


def test_a_domain_publishes_the_same_for_every_address(rules: etree.RelaxNG) -> None:
    long = ".".join(["a" * 60] * 3) + ".com"
    for name in ("example.com", long):
        found = profiles.of_domain(Domain(name, ("mail1",)), profiles.servers(host()))
        assert found is not None
        files = profiles.domain(found, means())
        document = etree.fromstring(files[f"autoconfig.{profiles.folder_of(name)}/mail/config-v1.1.xml"])
        assert rules.validate(document), rules.error_log
        assert {user for *_, user in servers_of(document)} == {"%EMAILADDRESS%"}
        assert files[f"{profiles.folder_of(name)}/.well-known/autoconfig/mail/config-v1.1.xml"] in files.values()
        asked = etree.fromstring(files[f"autodiscover.{profiles.folder_of(name)}/autodiscover/autodiscover.xml"])
        assert not asked.findall(".//o:LoginName", AUTODISCOVER)
        assert f"https://autoconfig.{name}/mail/config-v1.1.xml" in files[f"{profiles.folder_of(name)}.txt"].decode()


# --- autodiscover


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.address[:12])
def test_autodiscover_names_the_best_server_of_each_kind(settings: profiles.Profile) -> None:
    document = etree.fromstring(discovery.autodiscover(settings, render))
    found = [
        tuple(
            part.findtext(f"o:{name}", None, AUTODISCOVER) for name in ("Type", "Server", "Port", "Encryption", "SSL")
        )
        for part in document.findall(".//o:Protocol", AUTODISCOVER)
    ]
    best: dict[str, tuple[str, str, str, str, str]] = {}
    for server in (*settings.incoming, *settings.outgoing):
        kind = {"pop3": "POP3", "imap": "IMAP", "submission": "SMTP"}[server.protocol]
        wire = {"tls": "SSL", "starttls": "TLS"}[server.mode]
        best.setdefault(kind, (kind, server.host, str(server.port), wire, "on"))
    assert found == list(best.values())
    logins = [login.text for login in document.findall(".//o:LoginName", AUTODISCOVER)]
    assert set(logins) == {settings.address}


@given(HOSTILE)
def test_a_name_stays_text_in_xml(name: str) -> None:
    document = etree.fromstring(discovery.autodiscover(profile(user(name=name)), render))
    assert (document.findtext(".//o:DisplayName", "", AUTODISCOVER)) == name


@given(st.text(st.characters() | st.sampled_from("\0\x1b\x7f\ufffe\ud800ab\t\r\n<&\"'"), min_size=1))
def test_xml_holds_a_text_or_refuses_it(text: str) -> None:
    try:
        made = xml(text)
    except EncodeError:
        with pytest.raises(ValueError):  # lxml refuses what XML has no way to hold
            etree.Element("a").text = text
        return
    assert (etree.fromstring(f"<a>{made}</a>").text or "") == text
    assert etree.fromstring(f'<a b="{made}"/>').get("b") == text


# --- Apple


@pytest.mark.parametrize(
    "settings", [SETTINGS[0], SETTINGS[1], SETTINGS[3]], ids=lambda settings: settings.address[:12]
)
def test_an_apple_profile_has_one_account(settings: profiles.Profile) -> None:
    made = apple.mobileconfig(settings)
    assert made is not None
    whole = plistlib.loads(made)
    (account,) = whole["PayloadContent"]
    assert (whole["PayloadType"], account["PayloadType"]) == ("Configuration", "com.apple.mail.managed")
    receives = settings.receives
    assert account["EmailAccountType"] == {"pop3": "EmailTypePOP", "imap": "EmailTypeIMAP"}[receives.protocol]
    assert settings.sends is not None
    for way, server in (("Incoming", receives), ("Outgoing", settings.sends)):
        assert account[f"{way}MailServerHostName"] == server.host
        assert account[f"{way}MailServerPortNumber"] == server.port
        assert account[f"{way}MailServerUsername"] == account["EmailAddress"] == settings.address
        assert account[f"{way}MailServerAuthentication"] == "EmailAuthPassword"
        assert account[f"{way}MailServerUseSSL"] is True
    assert account["OutgoingPasswordSameAsIncomingPassword"] is True
    assert not [key for key in account if key.endswith("Password") and key != "OutgoingPasswordSameAsIncomingPassword"]


def test_a_later_profile_replaces_the_earlier_one() -> None:
    def names(settings: profiles.Profile) -> set[str]:
        whole = plistlib.loads(apple.mobileconfig(settings) or b"")
        return {part[key] for part in (whole, *whole["PayloadContent"]) for key in ("PayloadUUID", "PayloadIdentifier")}

    assert names(SETTINGS[0]) == names(SETTINGS[3])
    assert len(names(SETTINGS[0])) == 4
    assert not names(SETTINGS[0]) & names(SETTINGS[1])


def test_no_apple_profile_and_no_code_where_nothing_may_be_sent() -> None:
    assert apple.mobileconfig(SETTINGS[2]) is None
    assert qr.payload(SETTINGS[2]) is None


@given(HOSTILE)
def test_a_name_stays_text_in_a_property_list(name: str) -> None:
    made = apple.mobileconfig(profile(user(name=name)))
    (account,) = plistlib.loads(made or b"")["PayloadContent"]
    assert account["EmailAccountName"] == (name.replace("\r\n", "\n") or LI)


# --- signatures


def pair(folder: Path, kind: str, days: int = 30, name: str = "mail.example.com") -> tuple[Path, Path]:
    """A self-signed certificate and its key, made by openssl."""
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    options = {"rsa": ("rsa:2048",), "ec": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "ed25519": ("ed25519",)}[kind]
    names = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    written = ("-keyout", str(key), "-out", str(chain))
    request = ("openssl", "req", "-x509", "-newkey", *options, "-nodes", "-days", str(days), *names, *written)
    subprocess.run(request, check=True, capture_output=True)
    return chain, key


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_openssl_verifies_a_signed_profile(kind: str, tmp_path: Path) -> None:
    chain, key = pair(tmp_path, kind)
    made = apple.mobileconfig(SETTINGS[0]) or b""
    signed = tmp_path / "signed.mobileconfig"
    signed.write_bytes(signer(chain.read_text(), Secret(key.read_text()))(made))
    verify = ("openssl", "cms", "-verify", "-inform", "DER", "-in", str(signed), "-purpose", "any", "-binary")
    done = subprocess.run((*verify, "-CAfile", str(chain)), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == made
    signed.write_bytes(signed.read_bytes().replace(b"mail.example.com", b"evil.example.com"))
    assert subprocess.run((*verify, "-CAfile", str(chain)), capture_output=True).returncode != 0


def test_the_chain_goes_along(tmp_path: Path) -> None:
    """A device that knows the root only finds the way to it."""
    root, root_key = pair(tmp_path, "ec", name="root")
    issuer, issuer_key = root, root_key
    chain = ""
    for name, extension in (("between", "basicConstraints=critical,CA:TRUE"), ("leaf", "basicConstraints=CA:FALSE")):
        request, key = tmp_path / f"{name}.csr", tmp_path / f"{name}.key"
        new = (
            "openssl",
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            f"/CN={name}",
        )
        subprocess.run((*new, "-keyout", str(key), "-out", str(request)), check=True, capture_output=True)
        (tmp_path / "extensions").write_text(extension)
        signed = tmp_path / f"{name}.pem"
        issue = ("openssl", "x509", "-req", "-in", str(request), "-CA", str(issuer), "-CAkey", str(issuer_key))
        more = ("-CAcreateserial", "-days", "30", "-extfile", str(tmp_path / "extensions"), "-out", str(signed))
        subprocess.run((*issue, *more), check=True, capture_output=True)
        issuer, issuer_key = signed, key
        chain = signed.read_text() + chain
    made = tmp_path / "signed.mobileconfig"
    made.write_bytes(signer(chain, Secret(issuer_key.read_text()))(b"a profile"))
    verify = ("openssl", "cms", "-verify", "-inform", "DER", "-in", str(made), "-purpose", "any", "-binary")
    done = subprocess.run((*verify, "-CAfile", str(root)), capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"a profile"), done.stderr


def test_who_cannot_sign_is_told_why(tmp_path: Path) -> None:
    chain, key = pair(tmp_path, "ec")
    _, other = pair(tmp_path, "ec", name="other.example.com")
    edward = pair(tmp_path, "ed25519", name="edward.example.com")
    cases = [
        (chain.read_text(), other.read_text(), "not this certificate's"),
        ("no PEM", key.read_text(), "cannot be read"),
        (chain.read_text(), "no PEM", "cannot be read"),
        (edward[0].read_text(), edward[1].read_text(), "RSA or ECDSA"),
    ]
    for certificate, secret, why in cases:
        with pytest.raises(MailprovError, match=why) as error:
            signer(certificate, Secret(secret))
        assert error.value.fix


# --- the QR code


def read(png: bytes) -> Any:
    (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(png)), formats=zxingcpp.BarcodeFormat.QRCode)
    return json.loads(found.text)


def test_the_code_is_read_as_the_specification_has_it() -> None:
    told = [1, [1, 1], [1, "mail.example.com", 995, 3, 1, LI], [[[0, "mail.example.com", 465, 3, 1, LI], [LI, "李雷"]]]]
    assert read(qr.images(qr.payload(SETTINGS[0]) or "").png) == told


def test_the_code_of_other_settings() -> None:
    starttls = read(qr.images(qr.payload(SETTINGS[3]) or "").png)
    assert (starttls[2][2:4], starttls[3][0][0][2:4]) == ([110, 2], [587, 2])
    imap = read(qr.images(qr.payload(SETTINGS[1]) or "").png)
    assert (imap[2], imap[3][0][1]) == ([0, "mail.example.com", 993, 3, 1, LONG], [LONG, LONG_NAME])


@given(HOSTILE)
def test_a_name_stays_text_in_a_code(name: str) -> None:
    assert json.loads(qr.payload(profile(user(name=name))) or "")[3][0][1] == [LI, name or LI]


def test_too_much_for_a_code_is_an_error() -> None:
    with pytest.raises(MailprovError, match="too much for a QR code"):
        qr.images("x" * 3000)


# --- snippets


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (SETTINGS[0], ["mbsyncrc", "mpoprc", "fetchmailrc"]),
        (SETTINGS[1], ["mbsyncrc", "fetchmailrc"]),
        (SETTINGS[2], ["mpoprc", "fetchmailrc"]),
    ],
)
def test_a_snippet_for_what_may_be_used(settings: profiles.Profile, names: list[str]) -> None:
    made = dict(snippets.snippets(settings, render))
    assert list(made) == names
    assert all(settings.address.encode() in text and b"mail.example.com" in text for text in made.values())


@given(st.text(max_size=40) | st.sampled_from(['a"@x', "a\n@x", "a b@x", "$(id)@x", "a@x\\"]))
def test_no_address_becomes_configuration(address: str) -> None:
    try:
        made = dict(snippets.snippets(profile(user(address)), render))
    except EncodeError:
        return
    assert address.isascii() and not set(address) & set("\"'\\ \t\r\n$`;#")
    assert made["mpoprc"].decode().count(address) >= 1
    assert len(made["mpoprc"].splitlines()) == len(dict(snippets.snippets(SETTINGS[0], render))["mpoprc"].splitlines())


def test_everything_declared_is_used() -> None:
    assert {server.port for server in SETTINGS[0].incoming + SETTINGS[0].outgoing} | {25} == {
        port for _, _, port in EVERY.ports()
    }
