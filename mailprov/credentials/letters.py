"""The messages that are sent to people, in English and Chinese (pure); password and profile never in the same one."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from mailprov.credentials.entries import Entry
from mailprov.model import User, domain_of

_POLICY: Final = SMTP.clone(cte_type="7bit")  # no relay has to know 8BITMIME
_TYPES: Final = {".mobileconfig": "application/x-apple-aspen-config", ".xml": "text/xml"}
_FROM_US: Final = ("The password comes by another way.", "密码将另行发送。")
_FROM_PROVIDER: Final = (
    "It says what to log in with, too: nobody sends you a password.",
    "登录方式见指南，我们不会向您发送密码。",
)
_NAMELESS: Final = "application/octet-stream"


def password(entry: Entry, sender: str, now: datetime) -> EmailMessage:
    """The message with a password: the first one of a new mailbox, or one in place of another."""
    subject, text = _RESET if entry.reset else _NEW
    typed = entry.password.reveal()
    english, chinese = _FORM if _GENERATED.fullmatch(typed) else ("", "")
    named = text.format(
        dear=_dear(entry.name),
        nihao=_nihao(entry.name),
        address=entry.address,
        password=typed,
        english=english,
        chinese=chinese,
    )
    token = _token("passwords", entry.address, entry.contact, password_version(entry))
    return _letter(entry.contact, sender, subject.format(address=entry.address), named, now, token)


_NEW: Final = (
    "Your new mailbox {address} / 您的新邮箱",
    """{dear}

a mailbox was made for you.

    User name:  {address}
    Password:   {password}

{english}How to set up your mail program comes in a message of its own. Delete this one when your mail program knows the
password. Nobody will ever ask you for it.


{nihao}

已为您开通邮箱。

    用户名：{address}
    密码：　{password}

{chinese}邮件客户端的设置方法将在另一封邮件中发送。
设置完成后请删除本邮件。任何人都不会向您索要密码。
""",
)
_RESET: Final = (
    "Your new password for {address} / 您的邮箱新密码",
    """{dear}

your mailbox has a new password. The former one does not work any more.

    User name:  {address}
    Password:   {password}

{english}Enter it in the mail program of each of your devices; all other settings stay. Then delete this message. Nobody
will ever ask you for the password.


{nihao}

您的邮箱已设置新密码，原密码已失效。

    用户名：{address}
    密码：　{password}

{chinese}请在每台设备的邮件客户端中输入新密码，其他设置不变。
完成后请删除本邮件。任何人都不会向您索要密码。
""",
)
_FORM: Final = (
    "The password has no capital letters; the hyphens belong to it.\n",
    "密码全部为小写字母和数字，连字符（-）也是密码的一部分。\n",
)
_GENERATED: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
"""what `passwords.generated` makes: whoever copies it by hand is helped by what is in it"""


def profile(user: User, files: Mapping[str, bytes], sender: str, hosted: bool, now: datetime) -> EmailMessage:
    """The message with the guide and profiles for a person's mail programs, `files` by name; no password is in it.

    `hosted`: a provider has the mailbox, so that no password is sent by anybody.
    """
    en, zh = _FROM_PROVIDER if hosted else _FROM_US
    letter = _letter(
        user.contact,
        sender,
        f"How to set up {user.address} / 邮箱设置方法",
        f"""{_dear(user.name)}

the attached files tell you, and your mail program, how to reach the mailbox {user.address}. Begin with the guide.
{en} If something does not work, reply to this message.


{_nihao(user.name)}

附件说明如何在邮件客户端中设置邮箱 {user.address}，请先阅读设置指南。
{zh}如有问题，请直接回复本邮件。
""",
        now,
        _token("profiles", user.address, user.contact, profile_version(files)),
    )
    for name, data in sorted(files.items()):
        suffix = name[name.rfind(".") :] if "." in name else ""
        kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or _NAMELESS
        main, _, sub = kind.partition("/")
        letter.add_attachment(data, maintype=main, subtype=sub, filename=name)
    return letter


def welcome(user: User, sender: str, now: datetime) -> EmailMessage:
    """The message that waits in a new mailbox; no password is in it."""
    return _letter(
        user.address,
        sender,
        "Welcome to your mailbox / 欢迎使用您的邮箱",
        f"""{_dear(user.name)}

you can read this: your mail program is set up, and {user.address} works. If something does not, reply to this message.


{_nihao(user.name)}

如果您能看到这封邮件，说明邮件客户端已设置成功，{user.address} 可以正常使用。如有问题，请直接回复本邮件。
""",
        now,
        _token("welcome", user.address, user.address, ""),
    )


def password_version(entry: Entry) -> str:
    """What tells one generated password of a person from the next, and nothing of either."""
    return f"{entry.made:%Y%m%dT%H%M%SZ}"


def profile_version(files: Mapping[str, bytes]) -> str:
    """What tells one set of files from another: 16 hex digits."""
    parts = (part for name, data in sorted(files.items()) for part in (name.encode(), data))
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()[:16]


def _letter(to: str, sender: str, subject: str, text: str, now: datetime, token: str) -> EmailMessage:
    letter = EmailMessage(policy=_POLICY)
    letter["From"] = sender
    letter["To"] = to
    letter["Subject"] = subject
    letter["Date"] = now
    letter["Message-ID"] = f"<{token}@{domain_of(sender)}>"
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: keeps vacation replies away
    letter.set_content(text)
    return letter


def _token(*parts: str) -> str:
    """The same for the same thing: whoever gets it twice, after a cut, can tell (RFC 5322 §3.6.4)."""
    return "mailprov." + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _dear(name: str) -> str:
    return f"Dear {name}," if name else "Hello,"


def _nihao(name: str) -> str:
    return f"{name}，您好：" if name else "您好："
