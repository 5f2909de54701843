"""The guide that a person reads: a language's words and the person's settings, put together for any layout.

A language is one file, templates/profiles/TAG.toml. `**words**` in its texts are what a program shows, `{words}` the
reader's own settings; what a setting holds is never read for either.
"""

from __future__ import annotations

import re
import tomllib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from mailprov.encode import Encoded, xml
from mailprov.errors import MailprovError
from mailprov.model import Logo
from mailprov.profiles import credential
from mailprov.profiles.discovery import KEPT_DAYS
from mailprov.profiles.settings import Profile, Server
from mailprov.render import Render

Parts = list[list[str]]
"""[kind, text] each: kind is "text", "label" (what a program shows) or "value" (what is the reader's own)"""

Content = Mapping[str, Any]
"""a guide as nested lists and mappings of texts, numbers and Parts: what a layout gets"""

_MARK = re.compile(r"\*\*(.+?)\*\*|\{([a-z_]+)\}")
_NAME = re.compile(r"[!-~]+[.@][!-~]+|\b\d{4}-\d\d-\d\d\b")
"""an address, a host name, a file name, a URL or a date among other words"""
_PIECE = re.compile(r"[^.@-]+|[.@]+|-+[^.@-]?")
_WHOLE = 24
"""characters of a name that is not broken where a line is wide enough for it"""
_PLAIN = frozenset({"provider", "secret", "other", "credential"})
"""settings that are words of a sentence, and nothing to type in"""
_NAMES = {"pop3": "POP3", "imap": "IMAP", "submission": "SMTP"}


@dataclass(frozen=True, slots=True)
class GuideContext:
    """What a guide says beside the profile: who helps, when it was made, and which file and code go with it."""

    made: date
    helpdesk: str = ""
    file: str = ""
    """name of the .mobileconfig; "" where there is none"""
    signed: bool = False
    code: bytes = b""
    """the QR code, as SVG; empty where there is none"""
    company: str = ""
    logo: Logo | None = None


def language(text: str) -> Content:
    """A language file. Raises MailprovError where it is no TOML: a mistake of ours, which tests catch."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MailprovError(f"this language file cannot be read: {error}") from None


def content(profile: Profile, words: Content, occasion: GuideContext) -> Content:
    """The guide of one mailbox in one language."""
    given = _settings(profile, words, occasion)
    facts = _facts(profile, occasion)

    def run(text: str) -> Parts:
        return _parts(text, given)

    def runs(texts: Iterable[Any]) -> list[Parts]:
        chosen = (text if isinstance(text, str) else text["text"] for text in texts if _holds(text, facts))
        return [run(text) for text in chosen]

    def line(text: str) -> str:
        return "".join(words for _, words in run(text))

    said = words["words"]
    documented = credential.documented(profile, words["tag"])
    return {
        "tag": words["tag"],
        "region": words["region"],
        "words": said,
        "address": profile.address,
        "made": occasion.made.isoformat(),
        "lead": run(said["lead" if profile.sends else "lead_receives"]),
        "greeting": run(said["greeting" if profile.name else "greeting_nameless"]),
        "company": occasion.company,
        "logo": {"form": occasion.logo.form, "data": list(occasion.logo.data)} if occasion.logo else None,
        "data": _data(profile, said, given, line(said[credential.note(profile)])),
        "login": said["login"] + line(said["login_note" if profile.takes_password else "browser_note"]),
        "before": [*runs(words["before"]), *([["text", text]] for text in documented)] if documented else [],
        "servers": _servers(profile, said),
        "quick": [{"title": item["title"], "text": runs(item["text"])} for item in _those(words["quick"], facts)],
        "clients": [
            {
                "title": item["title"],
                "system": line(item["system"]),
                "steps": runs(item["steps"]),
                "notes": runs([item["note"]] if "note" in item else []),
            }
            for item in _those(words["client"], facts)
        ],
        "advice": [{"title": item["title"], "text": runs(item["text"])} for item in _those(words["advice"], facts)],
        "trouble": [{"seen": item["seen"], "try": runs(item["try"])} for item in _those(words["trouble"], facts)],
        "code": occasion.code.decode("ascii"),
    }


def html(guide: Content, render: Render) -> bytes:
    """A guide as one HTML file that needs no other. Raises EncodeError for a text that HTML cannot hold."""
    values = {
        "xml": xml,
        "words": _words,
        "run": _markup,
        "guide": guide,
        "code": _embedded("svg", guide["code"].encode()),
    }
    if guide["logo"]:
        values["logo"] = _embedded(guide["logo"]["form"], bytes(guide["logo"]["data"]))
    return render("profiles/guide.html", values).encode()


def _embedded(form: str, data: bytes) -> Encoded:
    """A picture as a URL that holds it."""
    kind = {"svg": "image/svg+xml", "png": "image/png"}[form]
    return Encoded(f"data:{kind};base64,{b64encode(data).decode('ascii')}")


def _markup(parts: Parts) -> Encoded:
    tags = {"text": ("", ""), "label": ("<b>", "</b>"), "value": ("<code>", "</code>")}
    return Encoded("".join(f"{tags[kind][0]}{_words(text)}{tags[kind][1]}" for kind, text in parts))


def _words(text: str) -> Encoded:
    """`text`, with the names in it marked where they may break: as guide.typ breaks them, and for the same reason."""
    found, end = "", 0
    for name in _NAME.finditer(text):
        long = len(name[0]) > _WHOLE
        pieces = "".join(_piece(piece, long) for piece in _PIECE.findall(name[0]))
        found += xml(text[end : name.start()]) + f'<span class="name">{pieces}</span>'
        end = name.end()
    return Encoded(found + xml(text[end:]))


def _piece(text: str, long: bool) -> str:
    if text.startswith("-"):
        return f"<span>{xml(text)}</span>"
    return xml(text) + "<wbr>" * (long and text[0] in ".@")


def _parts(text: str, given: Mapping[str, str]) -> Parts:
    """`text` with its marks resolved once: what comes out of a setting is not looked at again."""
    found: Parts = []
    end = 0
    for mark in _MARK.finditer(text):
        if mark.start() > end:
            found.append(["text", text[end : mark.start()]])
        label, setting = mark[1], mark[2]
        if label is not None:
            found.append(["label", _MARK.sub(lambda inner: given[inner[2]], label)])
        else:
            found.append(["text" if setting in _PLAIN else "value", given[setting]])
        end = mark.end()
    if end < len(text):
        found.append(["text", text[end:]])
    return found


def _settings(profile: Profile, words: Content, occasion: GuideContext) -> dict[str, str]:
    receives, sends = profile.receives, profile.sends
    return {
        "name": profile.name,
        "address": profile.address,
        "user": profile.login(receives),
        "out_user": profile.login(sends) if sends else "",
        **credential.settings(profile, words),
        "protocol": _NAMES[receives.protocol],
        "kind": "POP" if receives.protocol == "pop3" else "IMAP",
        "in_host": receives.host,
        "in_port": str(receives.port),
        "in_security": words["words"][receives.mode],
        "out_host": sends.host if sends else "",
        "out_port": str(sends.port) if sends else "",
        "out_security": words["words"][sends.mode] if sends else "",
        "quota": _size(profile.quota) if profile.quota else "",
        "days": str(min(KEPT_DAYS, profile.expire or KEPT_DAYS)),
        "expire": str(profile.expire or ""),
        "file": occasion.file,
        "helpdesk": occasion.helpdesk,
    }


def _facts(profile: Profile, occasion: GuideContext) -> frozenset[str]:
    """What `if` in a language file may name."""
    receives, sends = profile.receives, profile.sends
    held = {
        receives.protocol: True,
        receives.mode: True,
        "both": len({server.protocol for server in profile.incoming}) > 1,
        "sends": sends is not None,
        "receives_only": sends is None,
        "expires": profile.expire is not None,
        "restricted": profile.restricted,
        "open": not profile.restricted,
        "out_tls": sends is not None and sends.mode == "tls",
        "out_starttls": sends is not None and sends.mode == "starttls",
        "file": bool(occasion.file),
        "unsigned": bool(occasion.file) and not occasion.signed,
        "self_signed": profile.self_signed,
        "trusted": not profile.self_signed,
        "spare": any(server.protocol == receives.protocol for server in profile.incoming[1:]),
        "quota": profile.quota is not None,
        "helpdesk": bool(occasion.helpdesk),
        "no_helpdesk": not occasion.helpdesk,
        "single": len({server.protocol for server in profile.incoming}) == 1,
        "code": bool(occasion.code),
        **credential.facts(profile),
    }
    return frozenset(name for name, holds in held.items() if holds)


def _holds(item: Any, facts: frozenset[str]) -> bool:
    return isinstance(item, str) or facts.issuperset(item.get("if", ()))


def _those(items: Sequence[Any], facts: frozenset[str]) -> list[Any]:
    return [item for item in items if _holds(item, facts)]


def _data(profile: Profile, said: Mapping[str, str], given: Mapping[str, str], note: str) -> list[list[str]]:
    """Rows of what is the person's: label, value, remark."""
    rows = [
        [said["name"], profile.name, ""],
        [said["address"], profile.address, ""],
        [said["user"], given["user"], said["user_note_receiving" if profile.receives.local_part else "user_note"]],
        [given["credential"], "", note],
        [said["quota"], given["quota"], ""],
    ]
    return [row for row in rows if row[1] or row[2]]


def _servers(profile: Profile, said: Mapping[str, str]) -> list[dict[str, object]]:
    def row(server: Server, way: str, first: bool) -> dict[str, object]:
        return {
            "way": said[way],
            "protocol": _NAMES[server.protocol],
            "host": server.host,
            "port": server.port,
            "security": said[server.mode],
            "first": first,
            "mark": said["first" if first else "spare"],
        }

    return [row(server, "receive", not place) for place, server in enumerate(profile.incoming)] + [
        row(server, "send", not place) for place, server in enumerate(profile.outgoing)
    ]


def _size(quota: int) -> str:
    """A quota as people say it: in the largest binary unit that it is at least one of."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if quota >= 1024**power:
            return f"{quota / 1024**power:.2f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{quota} B"
