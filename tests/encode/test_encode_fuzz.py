"""Every encoder against a reader of its destination's syntax: a text is refused, or arrives whole in one place.

The readers below are written from the manuals, not from the encoders. HYPOTHESIS_PROFILE=fuzz tries 10,000 texts for
each field.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailprov import shell
from mailprov.encode import (
    Addresses,
    Encoded,
    EncodeError,
    address,
    login_row,
    map_row,
    map_rows,
    own_rows,
    passwd_row,
    passwd_rows,
    passwd_tail,
    present_rows,
    target,
    word,
)

SPECIAL = ": \n\r\0%$\"'\\{}#|;`()/.-@!*?&<>[]~=,+_\t\v\f\x1b\x1c\x85\u2028\u202e\ufeffÄİ aA0"
WHOLE = ["alice@example.com", "@example.com", "{SHA512-CRYPT}$6$salt$aaaa", "10.0.0.0/8", "2001:db8::/32", "OK", "/a/b"]
PIECES = st.sampled_from([*WHOLE, "../", "{{7*7}}", "{% x %}", "%{env:HOME}", "userdb_mail=maildir:/x", "nopassword=y"])
TEXT = st.one_of(
    st.text(st.sampled_from(SPECIAL), max_size=12),
    st.text(st.one_of(st.sampled_from(SPECIAL), st.characters()), max_size=20),
    st.builds("".join, st.lists(st.one_of(PIECES, st.sampled_from(SPECIAL)), max_size=4)),
    st.builds(
        lambda whole, at, c: whole[:at] + c + whole[at:], st.sampled_from(WHOLE), st.integers(0, 20), st.characters()
    ),
)


def encoded(encoder: Callable[..., Encoded], *given: object) -> str | None:
    """What the encoder makes of it; None where it refuses."""
    try:
        return encoder(*given)
    except EncodeError:
        return None


# --- readers


def dovecot_lines(text: str) -> list[str]:
    """Lines of a passwd-file: Dovecot's i_stream_read_next_line ends them at LF and drops a CR before it."""
    return [line.removesuffix("\r") for line in text.split("\n")[:-1]]


def passwd_file(text: str) -> list[tuple[str, str, str, str]]:
    """(user, password, gecos, extra fields) of each row, as db-passwd-file.c reads it.

    NUL ends a C string; empty lines, comments and lines without a name are skipped; `password[13]` names a scheme. Once
    seven fields are gone the rest is joined again: extra fields, unless the first is empty (then old-style mail).
    """
    found = []
    for line in dovecot_lines(text):
        line = line.partition("\0")[0]
        if not line or line[0] in ":#":
            continue
        parts = line.split(":")
        password = parts[1] if len(parts) > 1 else ""
        assert "[" not in password
        extra = ":".join(parts[7:])
        assert not (len(parts) > 8 and parts[7] == ""), "an old-style mail field"
        assert parts[2:4] in ([], ["", ""]), "no uid or gid of ours"
        assert parts[5:7] in ([], ["", ""]), "no home or shell of ours"
        found.append((parts[0], password, parts[4] if len(parts) > 4 else "", extra))
    return found


def extra_fields(text: str) -> list[tuple[str, str]]:
    """`key=value` pairs between blanks, a tab included (t_strsplit_spaces); `%` would be expanded."""
    assert "%" not in text
    pairs = [pair.partition("=") for pair in re.split(r"[ \t]+", text) if pair]
    return [(key, value) for key, _, value in pairs]


def postmap(text: str) -> list[tuple[str, str]]:
    """(key, value) of each logical line: postmap(1), "TABLE FORMAT"."""
    logical: list[str] = []
    for line in text.split("\n")[:-1]:
        if not line.strip(" \t\r\v\f") or line.lstrip(" \t\r\v\f").startswith("#"):
            continue
        if line[0] in " \t\r\v\f":
            logical[-1:] = [(logical[-1] if logical else "") + line]
        else:
            logical.append(line)
    pairs = [re.split(r"[ \t\r\v\f]+", line, maxsplit=1) for line in logical]
    return [(pair[0], pair[1].rstrip(" \t\r\v\f") if len(pair) > 1 else "") for pair in pairs]


def main_cf(text: str) -> list[tuple[str, str]]:
    """(name, value) of each parameter: postconf(5), with `$name` left as a mark of expansion."""
    lines: list[str] = []
    for line in text.split("\n")[:-1]:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace():
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    pairs = [line.partition("=") for line in lines]
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def dovecot_conf(text: str) -> list[tuple[str, str]]:
    """(name, value) of each setting: comments, quotes, braces, `<file`, `$variable`, a `\\` that joins lines."""
    found = []
    for line in text.replace("\\\n", " ").split("\n")[:-1]:
        line = line.strip(" \t\r")
        if not line or line[0] in "#}" or line.endswith("{") or line.startswith("!include"):
            continue
        name, _, value = line.partition("=")
        value = value.strip(" \t")
        value = re.split(r"(?:^|\s)#", value)[0].rstrip(" \t") if not value.startswith(('"', "'")) else value
        found.append((name.strip(), value))
    return found


def nft_tokens(text: str) -> list[str]:
    """Words of an nft script: blanks part them, `{},;` and line ends stand alone, `#` begins a comment."""
    kept = re.sub(r"#[^\n]*", "", text)
    return re.findall(r'"[^"\n]*"|[{},;\n]|[^\s{},;"]+', kept)


def sh_words(line: str) -> list[bytes]:
    """What a POSIX shell makes of a line's words."""
    script = f"show() {{ printf '%s\\0' \"$@\"; }}\nshow {line}\n"
    done = subprocess.run(["dash"], input=script.encode(), stdout=subprocess.PIPE, check=True)
    return done.stdout.split(b"\0")[:-1]


# --- encoders


@given(TEXT)
def test_word_stays_one_value_everywhere(text: str) -> None:
    made = encoded(word, text)
    if made is None:
        return
    assert made == text
    assert main_cf(f"before = 1\nname = {made}\nafter = 2\n") == [("before", "1"), ("name", text), ("after", "2")]
    assert dovecot_conf(f"name = {made}\nafter = 2\n") == [("name", text), ("after", "2")]
    assert dovecot_conf(f"name = <{made}\n") == [("name", f"<{text}")]
    assert nft_tokens(f"ip saddr {{ {made}, 192.0.2.1 }} accept\n")[3:5] == [text, ","]
    assert not re.search(r"[$%\\\"'<>!`]", made)
    assert shlex.split(made) == [text]


@given(TEXT)
def test_address_is_one_key_everywhere(text: str) -> None:
    made = encoded(address, text)
    if made is None:
        return
    assert made == text
    assert postmap(f"{made} OK\nnext@example.com OK\n") == [(text, "OK"), ("next@example.com", "OK")]
    assert passwd_file(f"{made}::::initial:::\n") == [(text, "", "initial", "")]
    assert passwd_file(f"{made}/imap\n") == [(f"{text}/imap", "", "", "")]
    assert not re.search(r"(^|/)\.\.?(/|$)", text.rpartition("@")[2])


@given(TEXT, st.lists(TEXT, max_size=3))
def test_map_row_is_one_entry(key: str, values: list[str]) -> None:
    made = encoded(map_row, key, tuple(values))
    if made is None:
        return
    assert values
    assert postmap(f"{made}\nnext@example.com OK\n") == [(key, ", ".join(values)), ("next@example.com", "OK")]
    assert re.split(r"[, \t\r\n]+", ", ".join(values)) == values
    # nothing that local(8) or pipe(8) would carry out, include or write to
    assert not any(re.match(r"[|/:\"!]", value) for value in values)


@given(st.one_of(st.sampled_from(WHOLE), TEXT))
def test_map_value_is_one_value(text: str) -> None:
    made = encoded(target, text)
    assert made is None or postmap(f"alice@example.com {made}\n") == [("alice@example.com", text)]


FIELDS = ("name", "password", "owner", "key", "value")


@pytest.mark.parametrize("field", FIELDS)
def test_passwd_row_is_one_row(field: str) -> None:
    sound = {
        "name": "alice@example.com",
        "password": "{SHA512-CRYPT}$6$salt$aaaa",
        "owner": "managed",
        "key": "allow_nets",
        "value": "2001:db8::/32,10.0.0.0/8",
    }

    @given(TEXT)
    def one_row(text: str) -> None:
        said = sound | {field: text}
        extra = ((said["key"], said["value"]), ("last", "1"))
        made = encoded(passwd_row, said["name"], said["password"], said["owner"], extra)
        if made is None:
            return
        [(name, password, gecos, rest)] = passwd_file(f"{made}\n")
        assert (name, password, gecos) == (said["name"], said["password"], said["owner"])
        assert extra_fields(rest) == [(said["key"], said["value"]), ("last", "1")]

    one_row()


@given(
    st.lists(st.one_of(TEXT, st.sampled_from(["", "-n", "$(id)", "`id`", "a'b", '"', "\\"])), min_size=1, max_size=20)
)
def test_shell_words_arrive(words: list[str]) -> None:
    if any("\0" in each for each in words):
        with pytest.raises(ValueError, match="NUL"):
            shell.line(tuple(words))
        return
    sendable = tuple(each for each in words if not re.search("[\ud800-\udfff]", each)) or ("x",)
    assert sh_words(shell.line(sendable)) == [each.encode() for each in sendable]


@pytest.mark.parametrize(
    "text",
    [
        *("alice@example.com", "10.0.0.0/8", "2001:db8::/32", "mail.example.com", "/etc/x/fullchain.pem", "TLSv1.2"),
        *("imap", "_x", "a+b@c"),
    ],
)
def test_words_that_are_needed_are_accepted(text: str) -> None:
    assert word(text) == text


@pytest.mark.parametrize(
    "text", ["", "-v", "@example.com", ":x", "a b", "a\n", "a;b", "$x", "{", "ä", "a\0", "#x", "~/x"]
)
def test_words_that_mean_something_are_refused(text: str) -> None:
    with pytest.raises(EncodeError):
        word(text)


@pytest.mark.parametrize(
    "text", ["Bob.Smith+x@elsewhere.example", "a=b@example.com", "srs0~x@example.com", "@example.com"]
)
def test_targets_that_are_needed_are_accepted(text: str) -> None:
    assert map_row("alice@example.com", (text,)) == f"alice@example.com {text}"


def test_errors_hold_no_secret() -> None:
    canary = "{PLAIN}canary-5ecret with blanks"
    with pytest.raises(EncodeError) as caught:
        passwd_row("alice@example.com", canary, "managed")
    assert "canary" not in str(caught.value)


# --- whole tables


def same_as_one_by_one(table: Callable[[], list[str]], rows: Callable[[], list[str]]) -> None:
    """Both make the same rows, or refuse in the same words."""
    outcomes: list[object] = []
    for make in (table, rows):
        try:
            outcomes.append(list(map(str, make())))
        except EncodeError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


SOUND = st.one_of(
    st.sampled_from(
        ["alice@example.com", "@example.com", "-a@x", "a.@x", ".@-", "a..b@x", "a@x.", "a@x\n", "\nb@x", ""]
    ),
    st.builds("{}@{}".format, st.text("ab.-_+\n", max_size=3), st.text("ab.-\n", max_size=3)),
)
KEYS = st.lists(st.one_of(SOUND, SOUND, TEXT), max_size=5)
PASSWORDS = st.one_of(st.sampled_from(["", "{A}b", "{SHA512-CRYPT}$6$salt$aaaa", "{A}b\n", "{A}", "\n{A}b"]), TEXT)


@given(KEYS)
def test_addresses_are_what_each_of_them_is(texts: list[str]) -> None:
    same_as_one_by_one(lambda: list(Addresses(tuple(texts)).texts), lambda: list(map(address, texts)))


@given(KEYS)
def test_rows_that_follow_from_their_keys_are_map_rows(texts: list[str]) -> None:
    same_as_one_by_one(
        lambda: present_rows(Addresses(tuple(texts))), lambda: [map_row(text, ("OK",)) for text in texts]
    )
    if all(encoded(address, text) is not None for text in texts):
        same_as_one_by_one(
            lambda: own_rows(Addresses(tuple(texts))), lambda: [map_row(text, (text,)) for text in texts]
        )


@given(st.dictionaries(st.one_of(SOUND, TEXT), st.lists(st.one_of(SOUND, TEXT, st.just("OK")), max_size=3).map(tuple)))
def test_map_rows_are_what_each_of_them_is(table: dict[str, tuple[str, ...]]) -> None:
    whole = encoded_rows(lambda: map_rows(table))
    assert whole == encoded_rows(lambda: [map_row(key, values) for key, values in table.items()])


@given(st.lists(st.tuples(st.one_of(SOUND, TEXT), PASSWORDS), max_size=4), st.sampled_from([(), (("a", "1"),)]))
def test_passwd_rows_are_what_each_of_them_is(pairs: list[tuple[str, str]], extra: tuple[tuple[str, str], ...]) -> None:
    def table() -> list[str]:
        names = Addresses(tuple(name for name, _ in pairs))
        return passwd_rows(names, [text for _, text in pairs], [passwd_tail("managed", extra)] * len(pairs))

    whole = encoded_rows(table)
    assert whole == encoded_rows(lambda: [passwd_row(name, text, "managed", extra) for name, text in pairs])


def encoded_rows(make: Callable[[], list[str]]) -> list[str] | None:
    """The rows as plain text; None where any is refused."""
    try:
        return list(map(str, make()))
    except EncodeError:
        return None


@pytest.mark.parametrize("wrong", ["{PLAIN}canary-5ecret with blanks", "canary-5ecret", "{A}canary-5ecret\n"])
def test_a_table_names_the_row_that_is_wrong_and_no_secret(wrong: str) -> None:
    names = Addresses(("alice@example.com", "bob@example.com", "carol@example.com"))
    with pytest.raises(EncodeError, match=r"bob@example\.com") as caught:
        passwd_rows(names, ["", wrong, ""], [passwd_tail("initial")] * 3)
    assert "canary" not in str(caught.value)


def test_no_address_is_in_a_table_unseen() -> None:
    with pytest.raises(EncodeError):
        replace(Addresses(("alice@example.com",)), texts=("alice@example.com\nmallory@example.com",))


def test_profiles_exist() -> None:
    assert settings.get_profile("fuzz").max_examples >= 10_000


def read_login(row: str) -> tuple[str, str, str]:
    """Key, user and password as Postfix's texthash: and smtp(8) take them (dict_thash.c, SASL_README)."""
    key, _, value = row.strip(" \t\r\n").partition(" ")
    user, _, password = value.strip(" \t\r\n").partition(":")
    return key, user, password


@given(st.text(), st.text())
@example("office@example.net", "a b:c #")
@example("office", "ü")
@example("office", "x\u2028y")
def test_a_login_is_read_as_it_was_given_or_refused(user: str, password: str) -> None:
    try:
        row = login_row("[smtp.example.net]:587", user, password)
    except EncodeError:
        return
    assert len(row.splitlines()) == 1
    assert read_login(row) == ("[smtp.example.net]:587", user, password)


@pytest.mark.parametrize(
    ("user", "password"), [("a:b", "x"), ("", "x"), ("a", ""), ("a", "x "), (" a", "x"), ("a", "x\ny")]
)
def test_a_login_that_would_be_another_one_is_refused(user: str, password: str) -> None:
    with pytest.raises(EncodeError):
        login_row("[smtp.example.net]:587", user, password)
