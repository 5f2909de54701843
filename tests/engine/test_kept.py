"""What a host has kept of its transactions, in both forms, and the state that it leads back to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mailprov.engine import kept_transactions, rollback
from mailprov.engine.history import Entry
from mailprov.engine.kept_transactions import Act, KeptTransaction
from mailprov.engine.manifest import Manifest
from mailprov.errors import MailprovError
from mailprov.model import Key
from mailprov.resources import accounts, files, firewall, maps, services, system_users
from mailprov.roles import mailhost
from mailprov.standard import REGISTRY

SHA = "0123456789abcdef" * 4

# As the two forms tell of the same apply: a service enabled, files replaced and made, a map, accounts, the firewall.
TODAY = """\
transaction 20261101T000000Z-aaaaaa
step 1\twhat\tinstall dovecot-core
step 1\tdo\tinstall_packages\t1\tdovecot-core
step 1\tundo\tformer_packages\t1
step 2\twhat\tsystem user vmail
step 2\tkey\tuser\tvmail
step 2\tdo\tsystem_user\t2\tvmail\t/var/vmail\t/usr/sbin/nologin
step 2\tundo\tformer_user\t2\tvmail
step 3\twhat\twrite /etc/postfix/main.cf
step 3\tkey\tfile\t/etc/postfix/main.cf
step 3\tdo\tput\t3\t/etc/postfix/main.cf\t644\troot\troot
step 3\tundo\trestore\t3\t/etc/postfix/main.cf
step 4\tkey\tfile\t/etc/mailprov
step 4\tdo\tfolder\t4\t/etc/mailprov\t755\troot\troot
step 4\tundo\tformer_folder\t4\t/etc/mailprov
step 5\tkey\taccounts\t/etc/dovecot/mailprov/accounts
step 5\tdo\tput\t5\t/etc/dovecot/mailprov/accounts\t640\troot\tdovecot
step 5\tundo\tformer_accounts\t5\t/etc/dovecot/mailprov/accounts
step 6\tkey\tmap\t/etc/postfix/mailprov/aliases
step 6\tdo\tput_map\t6\t/etc/postfix/mailprov/aliases\t640\troot\tpostfix
step 6\tundo\tformer_map\t6\t/etc/postfix/mailprov/aliases
step 7\tkey\tservice\tdovecot
step 7\tdo\tenable\t7\tdovecot
step 7\tundo\tformer_enabling\t7\tdovecot
step 8\tkey\tfirewall\tinet mailprov
step 8\tdo\tload_firewall\t8\tstart
step 8\tundo\tformer_firewall\t8
step 9\tkey\tfile\t/etc/never
step 9\tdo\tput\t9\t/etc/never\t644\troot\troot
step 9\tundo\trestore\t9\t/etc/never
"""
BEFORE = """\
transaction 20261101T000000Z-aaaaaa
function do_1() { install_packages dovecot-core; }
function undo_1() { keep; }
function do_2() { system_user 2 vmail /var/vmail /usr/sbin/nologin; }
function undo_2() { former_user 2 vmail; }
function do_3() { put 3 /etc/postfix/main.cf 644 root root; }
function undo_3() { restore 3 /etc/postfix/main.cf; }
function do_4() { folder 4 /etc/mailprov 755 root root; }
function undo_4() { former_folder 4 /etc/mailprov; }
function do_5() { put 5 /etc/dovecot/mailprov/accounts 640 root dovecot; }
function undo_5() { former_accounts 5 /etc/dovecot/mailprov/accounts; }
function do_6() { put_map 6 /etc/postfix/mailprov/aliases 640 root postfix; }
function undo_6() { former_map 6 /etc/postfix/mailprov/aliases; }
function do_7() { enable 7 dovecot; }
function undo_7() { former_enabling 7 dovecot; }
function do_8() { load_firewall 8 start; }
function undo_8() { former_firewall 8; }
function do_9() { put 9 /etc/never 644 root root; }
function undo_9() { restore 9 /etc/never; }
"""
REST = f"""\
event done 1
event done 2
event done 3
event done 4
event done 5
event done 6
event done 7
event done 8
up postfix
ports 0.0.0.0:25
ports [::]:25
served 995: sha256 Fingerprint=AB:CD
served 110:pop3 sha256 Fingerprint=AB:CD
served 993:
managed /etc/postfix/main.cf
kept regular file|600|root|root|3
kept {SHA}  3
kept regular file|640|root|dovecot|5
kept {SHA}  5
kept regular empty file|644|root|root|6.absent
kept regular file|640|root|root|8
note 2 vmail:x:999:997::/home/vmail:/bin/sh
note 2.group vmail:x:997:
note 4.folder 700 0:0 root root
note 7 masked
note 7.below disabled
note 8 {{
"""


@pytest.mark.parametrize("form", [TODAY, BEFORE], ids=["today", "before"])
def test_both_forms_lead_back_to_the_same(form: str) -> None:
    (read,) = kept_transactions.read(form + REST).values()
    assert read.served == (("995", "tls", "abcd"), ("110", "pop3", "abcd"))
    assert (read.up, read.ports) == ({"postfix"}, ("0.0.0.0:25", "[::]:25"))
    aim = rollback.target(REGISTRY, [read], {}, mailhost.reads)
    assert aim.installed == ("dovecot-core",)
    things = dict(aim.things)
    user = things.pop(Key(system_users.KIND, "vmail"))
    assert isinstance(user, system_users.SystemUser)
    assert (user.home, user.shell, user.group) == ("/home/vmail", "/bin/sh", "vmail")
    main = things.pop(Key(files.KIND, "/etc/postfix/main.cf"))
    assert isinstance(main, files.File)
    assert (main.mode, main.sha256, main.secret, main.services) == ("600", SHA, True, ("postfix",))
    assert main.kept == "/var/lib/mailprov/txn/20261101T000000Z-aaaaaa/old/3"
    assert things.pop(Key(files.KIND, "/etc/mailprov")) == files.folder("/etc/mailprov", "700")
    there = things.pop(Key(accounts.KIND, "/etc/dovecot/mailprov/accounts"))
    assert isinstance(there, accounts.Accounts)
    assert (there.attributes, there.copy) == (("640", "root", "dovecot"), SHA)
    assert things.pop(Key(maps.KIND, "/etc/postfix/mailprov/aliases")) is None
    service = things.pop(Key(services.KIND, "dovecot"))
    assert service == services.Service("dovecot", enabled=False, active=False, masked=True)
    table = things.pop(Key(firewall.KIND, "inet mailprov"))
    assert isinstance(table, firewall.Table) and table.kept.endswith("/old/8")
    assert not things, "what was never done is not taken back"


def test_the_oldest_of_several_tells_what_was_there() -> None:
    key = Key(files.KIND, "/etc/postfix/main.cf")
    (one,) = kept_transactions.read(TODAY + REST).values()
    newer = replace(one, name="b", acts=(Act("b", 3, key, ("put", "3", key.name)),), copies={}, notes={})
    for back in ([newer, one], [one]):
        found = rollback.target(REGISTRY, back, {}, mailhost.reads).things[key]
        assert isinstance(found, files.File) and found.sha256 == SHA
    assert rollback.target(REGISTRY, [one, newer], {}, mailhost.reads).things[key] is None


def test_what_a_later_one_only_put_back_is_left_alone() -> None:
    """Somebody had changed it in between: that is not what was there before the oldest."""
    key = Key(files.KIND, "/etc/postfix/main.cf")
    (read,) = kept_transactions.read(TODAY + REST).values()
    before, other = Manifest("a", {key: "one"}, {}), Manifest("b", {key: "another"}, {})
    oldest, later = KeptTransaction("a"), replace(read, name="b", former=before)
    for now, there in ((before, False), (other, True), (Manifest("b", {}, {}), True), (None, True)):
        assert (key in rollback.target(REGISTRY, [later, oldest], {}, mailhost.reads, now).things) is there
    assert key in rollback.target(REGISTRY, [later], {}, mailhost.reads, before).things, "it alone is taken back whole"
    newer = replace(read, name="c", former=other)
    assert key in rollback.target(REGISTRY, [newer, later, oldest], {}, mailhost.reads, before).things


def test_which_are_taken_back() -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    entries = [
        Entry(at, name, verdict, "") for name, verdict in (("a", "applied"), ("b", "reverted"), ("c", "applied"))
    ]
    found = {name: KeptTransaction(name) for name in ("a", "b", "c")}
    assert [each.name for each in kept_transactions.undone(entries, found, None)] == ["c"]
    assert [each.name for each in kept_transactions.undone(entries, found, "a")] == ["c", "a"]
    for target, told in (("b", "b is reverted"), ("z", "no apply is called z")):
        with pytest.raises(MailprovError, match=told):
            kept_transactions.undone(entries, found, target)
    with pytest.raises(MailprovError, match="no longer keeps all") as gone:
        kept_transactions.undone(entries, {"c": KeptTransaction("c")}, "a")
    assert gone.value.why == "the farthest to go back to is before c"
    with pytest.raises(MailprovError, match="what the host keeps of c is damaged") as damaged:
        kept_transactions.undone(
            entries, {"c": KeptTransaction("c", damaged=("old/3",)), "a": KeptTransaction("a")}, "a"
        )
    assert damaged.value.why.startswith("not what it was: old/3 in ")
    with pytest.raises(MailprovError, match="nothing has been applied"):
        kept_transactions.undone([], found, None)


@pytest.mark.parametrize(
    "line",
    [
        *("step x", "step 1", "function do_1()", "note", "served x:y", "kept |||", "event done x"),
        *(f"step {'1' * 5000}\tkey\tfile\t/etc/a", f"function do_{'1' * 5000}() {{ put a; }}"),
    ],
)
def test_what_a_host_says_breaks_nothing(line: str) -> None:
    (read,) = kept_transactions.read(f"transaction a\n{line}\n").values()
    assert read.acts == () and read.served == ()


def test_ports_that_have_been_opened_since() -> None:
    oldest = KeptTransaction("a", ports=("0.0.0.0:995", "[::]:995"), listeners=frozenset({995, 993}))
    later = KeptTransaction("b", ports=("0.0.0.0:995", "0.0.0.0:993"), listeners=frozenset({995, 993, 143}))
    reads = mailhost.reads
    assert rollback.target(REGISTRY, [later, oldest], {}, reads).opened == {993, 143}
    assert rollback.target(REGISTRY, [later, replace(oldest, listeners=None)], {}, reads).opened is None
    assert rollback.target(REGISTRY, [replace(later, listeners=frozenset())], {}, reads).opened == frozenset()
