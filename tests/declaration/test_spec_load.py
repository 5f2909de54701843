"""load(): whole declarations, what they mean, and that nothing secret or unforeseen comes out of it."""

from __future__ import annotations

import traceback
from ipaddress import ip_network
from pathlib import Path

import pytest
from instructions import instructions
from spec_tools import ENVIRON, HASH, NOW, SMALL, Load

from mailprov.commands import run
from mailprov.declaration import load
from mailprov.errors import Exit, SpecError
from mailprov.model import Allow, Domain, Listener, Spec

EXAMPLE = f"""\
mailprov: 1
hosts:
  mail1:
    address: 192.0.2.10             # what SSH connects to; default: the key
    hostname: mail.example.com      # what the mail server calls itself
    ssh: {{user: root, port: 22, identity_file: ~/.ssh/id_ed25519, known_hosts: ./known_hosts, jump: b.example.com}}
    become: false                   # true: sudo
domains:
  - name: example.com
  - name: 例子.公司                  # IDN; stored and rendered as A-labels
users:
  - address: alice@example.com
    name: Alice Example
    password: {{hash: "{HASH}"}}   # ownership "managed": the YAML wins
    quota: 2GiB
    aliases: [sales@example.com]
  - address: bob@example.com
    password: {{initial: {{env: BOB_INITIAL}}}}  # ownership "initial": set once at creation, never reset after
    protocols: [pop3]
    allow_from: [10.0.0.0/8]
aliases:
  - {{address: postmaster@example.com, to: [alice@example.com]}}
tls:                                         # exactly one of: certificate+key · self_signed · on_host
  certificate: {{file: certs/mail.pem}}
  key: {{file: certs/mail.key}}
# self_signed: {{}}                            # made on the host, for trials; clients will warn
# on_host: {{certificate: /etc/letsencrypt/live/x/fullchain.pem, key: /etc/letsencrypt/live/x/privkey.pem}}
  min_version: TLSv1.2
services:                                    # listeners; a listener left out is closed
  pop3: {{starttls: 110, tls: 995}}
  imap: {{starttls: 143, tls: 993}}
  submission: {{starttls: 587, tls: 465}}
  smtp: {{port: 25}}
firewall:
  manage: true                               # opens what services declare, and nothing else
  allow:
    - {{port: 110, from: [10.0.0.0/8]}}        # narrows a declared listener
    - {{port: 9100, from: [192.0.2.5/32]}}     # opens an extra one
"""


def load_file(folder: Path, environ: dict[str, str] = ENVIRON) -> Spec:
    return load(folder / "mail.yaml", environ=environ, now=NOW)


def said(error: pytest.ExceptionInfo[SpecError]) -> list[str]:
    return [str(diagnostic) for diagnostic in error.value.errors]


def test_the_example_means_what_it_seems_to_mean(with_certificates: Path) -> None:
    folder = with_certificates
    (folder / "mail.yaml").write_text(EXAMPLE, encoding="utf-8")
    spec = load_file(folder, {**ENVIRON, "BOB_INITIAL": "first of all"})
    host = spec.hosts["mail1"]
    assert (host.name, host.address, host.hostname, host.become) == ("mail1", "192.0.2.10", "mail.example.com", False)
    assert (host.ssh.user, host.ssh.port, host.ssh.jump) == ("root", 22, "b.example.com")
    assert host.ssh.identity_file == Path("/home/tester/.ssh/id_ed25519")
    assert host.ssh.known_hosts == folder / "known_hosts"
    assert host.tls.source == "file"
    assert host.tls.chain == (folder / "certs/mail.pem").read_text()
    assert host.tls.key is not None
    assert host.tls.key.reveal() == (folder / "certs/mail.key").read_text()
    assert host.services.pop3 == Listener(110, 995)
    assert host.services.imap == Listener(143, 993)
    assert host.services.submission == Listener(587, 465)
    assert host.services.smtp == 25
    assert host.firewall.manage
    assert host.firewall.allow == (
        Allow(110, (ip_network("10.0.0.0/8"),)),
        Allow(9100, (ip_network("192.0.2.5/32"),)),
    )
    assert spec.domains == {name: Domain(name, ("mail1",)) for name in ("example.com", "xn--fsqu00a.xn--55qx5d")}
    alice, bob = spec.users
    assert (alice.address, alice.name, alice.quota) == ("alice@example.com", "Alice Example", 2 << 30)
    assert alice.aliases == ("sales@example.com",)
    assert alice.protocols == {"pop3", "imap", "submission"}
    assert (alice.password.ownership, alice.password.source) == ("managed", "the declaration")
    assert alice.password.hash is not None
    assert alice.password.hash.reveal() == HASH
    assert (bob.password.ownership, bob.password.source) == ("initial", "env BOB_INITIAL")
    assert bob.password.plaintext is not None
    assert bob.password.plaintext.reveal() == "first of all"
    assert bob.protocols == {"pop3"}
    assert bob.allow_from == (ip_network("10.0.0.0/8"),)
    assert (spec.aliases[0].address, spec.aliases[0].to) == ("postmaster@example.com", ("alice@example.com",))
    assert str(alice.origin) == f"{folder / 'mail.yaml'}:12:5"
    assert len(spec.warnings) == 1
    assert "has no postmaster address" in spec.warnings[0]


def test_an_absent_initial_password_is_no_error(with_certificates: Path) -> None:
    (with_certificates / "mail.yaml").write_text(EXAMPLE, encoding="utf-8")
    bob = load_file(with_certificates).users[1]
    assert bob.password.plaintext is None
    assert bob.password.hash is None
    assert bob.password.source == "env BOB_INITIAL"


def test_an_initial_password_may_be_a_hash(load_text: Load) -> None:
    password = load_text(SMALL, {"PW": HASH.replace("SHA512", "sha512")}).users[0].password
    assert password.plaintext is None
    assert password.hash is not None
    assert password.hash.reveal() == HASH


def test_overrides_merge_deeply(load_text: Load, certificates: Path) -> None:
    text = f"""\
mailprov: 1
hosts:
  a.example.com: {{}}
  b.example.com:
    tls: {{min_version: TLSv1.3}}
    services: {{pop3: false, imap: {{starttls: false}}, submission: {{tls: 4650}}, smtp: {{port: 2525}}}}
    firewall: {{allow: [{{port: 9100}}]}}
  c.example.com:
    tls: {{on_host: {{certificate: /etc/a.pem, key: /etc/a.key}}}}
    services: {{pop3: {{tls: 1995}}, imap: true, smtp: false}}
    firewall: {{manage: false}}
  d.example.com:
    tls: {{certificate: {{file: {certificates}/wildcard.pem}}, key: {{file: {certificates}/mail.key}}}}
domains: [{{name: example.com, catch_all: x@example.org}}]
tls: {{self_signed: {{}}, min_version: TLSv1.2}}
services: {{pop3: {{starttls: 110}}, imap: true, submission: true, smtp: true}}
firewall: {{manage: true, allow: [{{port: 110, from: [10.0.0.0/8]}}]}}
"""
    hosts = load_text(text).hosts
    a, b, c, d = (hosts[f"{letter}.example.com"] for letter in "abcd")
    assert a.services.ports() == (
        *(("pop3", "starttls", 110), ("imap", "starttls", 143), ("imap", "tls", 993)),
        *(("submission", "starttls", 587), ("submission", "tls", 465), ("smtp", "smtp", 25)),
    )
    assert b.services.ports() == (
        *(("imap", "tls", 993), ("submission", "starttls", 587), ("submission", "tls", 4650), ("smtp", "smtp", 2525)),
    )
    assert c.services.pop3 == Listener(110, 1995)
    assert c.services.smtp is None
    assert [(h.tls.source, h.tls.min_version) for h in (a, b, c, d)] == [
        *(("self_signed", "TLSv1.2"), ("self_signed", "TLSv1.3"), ("on_host", "TLSv1.2"), ("file", "TLSv1.2")),
    ]
    assert (c.tls.certificate_path, c.tls.key_path) == ("/etc/a.pem", "/etc/a.key")
    assert [h.firewall.manage for h in (a, b, c, d)] == [True, True, False, True]
    assert b.firewall.allow == (Allow(9100),)
    assert c.firewall.allow == a.firewall.allow == (Allow(110, (ip_network("10.0.0.0/8"),)),)


def test_a_default_rule_passes_by_hosts_without_the_listener(load_text: Load) -> None:
    text = SMALL.replace("address: 192.0.2.10", "services: {imap: false, smtp: true}").replace(
        "hosts: {", "hosts: {b.example.com: , "
    )
    spec = load_text(text + "firewall: {manage: true, allow: [{port: 143, from: [10.0.0.0/8]}]}\n")
    assert [len(host.firewall.allow) for host in spec.hosts.values()] == [1, 0]


def test_a_shared_certificate_is_complained_about_once(with_certificates: Path) -> None:
    hosts = "{" + ", ".join(f"m{i}.example.com: " for i in range(50)) + "}"
    tls = "{certificate: {file: certs/expired.pem}, key: {file: certs/mail.key}}"
    text = SMALL.replace("{mail.example.com: {address: 192.0.2.10}}", hosts).replace("{self_signed: {}}", tls)
    (with_certificates / "mail.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load_file(with_certificates)
    assert sum("expired" in line for line in said(caught)) == 1


def test_certificates_are_judged_at_the_given_moment(with_certificates: Path) -> None:
    text = SMALL.replace("{self_signed: {}}", "{certificate: {file: certs/mail.pem}, key: {file: certs/mail.key}}")
    path = with_certificates / "mail.yaml"
    path.write_text(text)
    assert load(path, environ=ENVIRON, now=NOW).warnings == ()
    with pytest.raises(SpecError) as caught:
        load(path, environ=ENVIRON, now=NOW.replace(year=2031))
    assert "expired" in str(caught.value)


def included(folder: Path, files: dict[str, str], patterns: str = "[teams/*.yaml]") -> None:
    (folder / "teams").mkdir(exist_ok=True)
    (folder / "mail.yaml").write_text(SMALL + f"include: {patterns}\n")
    for name, text in files.items():
        (folder / name).write_text(text)


def test_included_files_add_to_the_main_one(tmp_path: Path) -> None:
    included(
        tmp_path,
        {
            "teams/sales.yaml": "users: [{address: sam@example.com, password: {initial: {file: sam}}}]\n",
            "teams/more.yaml": "mailprov: 1\nhosts: {m2.example.com: {ssh: {identity_file: key}}}\n"
            "domains: [example.net]\n"
            "aliases: [{address: postmaster@example.net, to: sam@example.com}]\n",
            "teams/empty.yaml": "",
            "teams/sam": "secret of sam\n",
        },
        '["*.yaml", {files: "./teams//*.yaml", trusted: true}, {files: "**/s*.yaml", trusted: true}]',
    )
    spec = load_file(tmp_path)
    assert [user.address for user in spec.users] == ["alice@example.com", "sam@example.com"]
    secret = spec.users[1].password.plaintext
    assert secret is not None
    assert secret.reveal() == "secret of sam"
    assert spec.hosts["m2.example.com"].ssh.identity_file == tmp_path / "teams/key"
    assert spec.hosts["m2.example.com"].tls.source == "self_signed"
    assert spec.domains["example.com"].hosts == ("m2.example.com", "mail.example.com")
    assert spec.aliases[0].address == "postmaster@example.net"
    assert str(spec.users[1].origin) == f"{tmp_path / 'teams/sales.yaml'}:1:9"


def test_what_is_declared_twice_names_both_places(tmp_path: Path) -> None:
    included(
        tmp_path,
        {
            "teams/a.yaml": "hosts: {mail.example.com: }\ndomains: [EXAMPLE.com]\n"
            "users: [{address: Alice@example.com, password: {initial: {env: PW}}}]\n"
        },
        "[{files: teams/*.yaml, trusted: true}]",
    )
    with pytest.raises(SpecError) as caught:
        load_file(tmp_path)
    main, source_file = tmp_path / "mail.yaml", tmp_path / "teams/a.yaml"
    lines = said(caught)
    assert lines[0].startswith(f"{source_file}:1:9: the host `mail.example.com` is declared already at {main}:2:9")
    assert lines[1].startswith(
        f"{source_file}:2:11: the domain `EXAMPLE.com` is `example.com`, which is declared already at {main}:3"
    )
    assert lines[2].startswith(
        f"{source_file}:3:19: `Alice@example.com` is declared already as `alice@example.com` (user, {main}:5:15)"
    )


def test_included_files_declare_only_what_they_may(tmp_path: Path) -> None:
    included(
        tmp_path,
        {
            "teams/a.yaml": "tls: {self_signed: {}}\nservices: {}\nfirewall: {}\ninclude: [b.yaml]\nuser: []\n",
            "teams/b.yaml": "users:\n\t- x\n",
            "teams/c.yaml": "- a\n",
        },
    )
    with pytest.raises(SpecError) as caught:
        load_file(tmp_path)
    text = str(caught.value)
    for key in ("tls", "services", "firewall", "include"):
        assert f"`{key}` may stand in the main file only" in text
    assert "did you mean `users`?" in text
    assert "b.yaml:2:1: not valid YAML" in text
    assert "c.yaml:1:1: this is not a mailprov file; it is a list" in text


def test_what_an_unreadable_file_declares_is_not_called_undeclared(tmp_path: Path) -> None:
    included(
        tmp_path,
        {
            "teams/a.yaml": "domains: [example.net\n",
            "teams/b.yaml": "aliases: [{address: a@example.net, to: b@example.net}]\n",
        },
    )
    with pytest.raises(SpecError) as caught:
        load_file(tmp_path)
    assert len(said(caught)) == 1


def test_includes_stay_in_their_folder(tmp_path: Path) -> None:
    inner, outside = tmp_path / "inner", tmp_path / "outside"
    inner.mkdir()
    outside.mkdir()
    (outside / "x.yaml").write_text("users: []\n")
    included(inner, {})
    (inner / "teams/link.yaml").symlink_to(outside / "x.yaml")
    with pytest.raises(SpecError) as caught:
        load_file(inner)
    assert "leads out of this file's folder" in str(caught.value)
    (inner / "teams/link.yaml").unlink()
    (inner / "teams/dir.yaml").symlink_to(outside)
    with pytest.raises(SpecError) as caught:
        load_file(inner)
    assert "no file matches" in str(caught.value)


SECRET = "hunter" + "2"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{initial: {env: PW}}", "%s"),
        ("{initial: {env: PW}}", "[%s]"),
        ("{initial: {env: PW}}", '{hash: "{MD5}%s"}'),
        ("{initial: {env: PW}}", '{hash: "$6$salt$%s"}'),
        ("{initial: {env: PW}}", "{hash: {hash: %s}}"),
        ("{initial: {env: PW}}", "{initial: {hash: '%s'}}"),
        ("{initial: {env: PW}}", "{initial: %s}"),
        ("{initial: {env: PW}}", "{hash: {env: BARE}}"),
        ("{env: PW}", '{env: "%s "}'),
        ("{env: PW}", "{env: [%s]}"),
        ("PW", "PLAIN"),
        ("self_signed: {}", "certificate: {env: BARE}, key: {env: BARE}"),
    ],
)
def test_secrets_never_show(old: str, new: str, load_text: Load) -> None:
    text = SMALL.replace(old, new.replace("%s", SECRET))
    with pytest.raises(SpecError) as caught:
        load_text(text, {"PLAIN": "{PLAIN}" + SECRET, "BARE": SECRET, "PW": SECRET})
    error = caught.value
    assert error.exit is Exit.INVALID
    for shown in (str(error), repr(error), repr(error.errors), "".join(traceback.format_exception(error))):
        assert SECRET not in shown


def test_a_spec_shows_no_secrets(load_text: Load) -> None:
    assert SECRET not in repr(load_text(SMALL, {"PW": SECRET}))


def test_a_fault_in_one_field_does_not_hide_the_others(load_text: Load) -> None:
    bad = "{address: bob@exmaple.com, quota: 5, name: 6, allow_from: [10.0.0.1/8], password: {hash: x}, colour: red}"
    with pytest.raises(SpecError) as caught:
        load_text(SMALL.replace("users:\n", f"users:\n  - {bad}\n"))
    assert len(said(caught)) == 6
    assert [each.origin.column for each in caught.value.errors] == sorted(
        each.origin.column for each in caught.value.errors
    )


def test_a_faulty_user_still_owns_its_address(load_text: Load) -> None:
    text = SMALL.replace("{initial: {env: PW}}", "5") + "aliases: [{address: a@example.com, to: alice@example.com}]\n"
    with pytest.raises(SpecError) as caught:
        load_text(text)
    assert len(said(caught)) == 1


def test_a_long_circle_of_aliases(load_text: Load) -> None:
    count = 5000
    rows = "".join(f"  - {{address: a{i}@example.com, to: a{(i + 1) % count}@example.com}}\n" for i in range(count))
    with pytest.raises(SpecError) as caught:
        load_text(SMALL + "aliases:\n" + rows)
    assert len(said(caught)) == 1
    assert "a0@example.com → a1@example.com" in said(caught)[0]
    assert len(said(caught)[0]) < 1000


def test_an_alias_with_too_many_targets(load_text: Load) -> None:
    targets = ", ".join(f"x{i}@example.org" for i in range(1001))
    with pytest.raises(SpecError) as caught:
        load_text(SMALL + f"aliases: [{{address: all@example.com, to: [{targets}]}}]\n")
    assert "Postfix expands 1,000 at most" in str(caught.value)


def test_loading_twice_gives_the_same(load_text: Load) -> None:
    assert load_text(SMALL) == load_text(SMALL)


def test_work_grows_in_line(load_text: Load) -> None:
    def taken(count: int) -> int:
        rows = (
            f'  - {{address: user{i}@example.com, name: User {i}, quota: 2GiB, password: {{hash: "{HASH}"}}}}\n'
            for i in range(count)
        )
        text = SMALL.replace("users:\n", "users:\n" + "".join(rows))
        assert len(load_text(text).users) == count + 1
        return instructions(lambda: load_text(text))

    small, large = taken(200), taken(1000)
    assert large < 5 * small * 1.1


def test_no_name_of_a_file_makes_up_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\nmail.yaml is valid: 1 host\x1b[2K\u202e\n.yaml"
    (tmp_path / "parts").mkdir()
    (tmp_path / "mail.yaml").write_text(SMALL + "include: [parts/*.yaml]\n")
    for text in ("users: [{address: x}]\n", "users: [{address: x@example.com, quota: [}]\n", "\x00", ""):
        (tmp_path / "parts" / name).write_text(text)
        run(["validate", "-f", str(tmp_path / "mail.yaml")])
        said = capsys.readouterr()
        assert not any(line.startswith("mail.yaml is valid") for line in (said.out + said.err).splitlines())
        assert "\x1b" not in said.out + said.err
        assert not text or r"a\u000amail.yaml is valid: 1 host\u001b[2K\u202e\u000a.yaml:1:" in said.err
