"""Causes that keep mail from leaving a host, told by what its queue says of mail that waits (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailprov.doctor.causes import Cause
from mailprov.model.mail_queue import MailQueue

_WAITS = "Your message is kept, and sent as soon as it can be: do not send it again. We are looking into it."
_WAITS_ZH = "您的邮件已保存，恢复后会自动发出，请勿重复发送。我们正在处理。"

SENDING = (
    Cause(
        "relay-login",
        "sending",
        "the relay refuses the login",
        "messages wait in the queue, and their reason says that the authentication failed",
        "give `outgoing.relay` the user and password that the provider has, apply, then `postqueue -f` on the host",
        _WAITS,
        _WAITS_ZH,
        needs_host=True,
    ),
    Cause(
        "relay-certificate",
        "sending",
        "the relay shows a certificate that is not trusted, or has another name: it gets neither mail nor password",
        "messages wait in the queue, and their reason says that the certificate was not verified",
        "write the relay's `host` as its certificate has it; an authority of your own belongs into the host's "
        "/usr/local/share/ca-certificates (update-ca-certificates)",
        _WAITS,
        _WAITS_ZH,
        needs_host=True,
    ),
    Cause(
        "outgoing-blocked",
        "sending",
        "other mail servers are not reached at port 25",
        "messages for several of them wait in the queue: no connection was made in time. Many clouds close port 25 "
        "outwards (Alibaba Cloud, Google Cloud, Azure), and some firewalls do",
        "ask the provider to open port 25 outwards, or declare `outgoing: {relay: …}`, which needs 587 or 465 only",
        _WAITS,
        _WAITS_ZH,
        needs_host=True,
    ),
    Cause(
        "relay-unreachable",
        "sending",
        "the relay is not reached",
        "messages wait in the queue: no connection to the relay was made",
        "see that the relay is up, that its name (which DNS must know) and port are right, and that nothing between "
        "closes the port; mail is tried again by itself, at once by `postqueue -f` on the host",
        _WAITS,
        _WAITS_ZH,
        needs_host=True,
    ),
    Cause(
        "sending-limit",
        "sending",
        "a user has sent as much as a user may within an hour",
        "Postfix has logged that rspamd has put messages of theirs off for that (`outgoing.limits`)",
        "ask them: a stolen password sends like this. If it is one: `mailprov password reset ADDRESS`; if it is a "
        "newsletter, have it sent in parts, or declare higher `outgoing.limits`",
        "You have sent as many messages as are allowed within an hour: send the rest later. If that was not you, "
        "somebody has your password: call us at once.",
        "您在一小时内发送的邮件已达上限，请稍后再发。如果不是您本人发送，说明密码已泄露，请立即联系我们。",
        needs_host=True,
        notice=True,
    ),
    Cause(
        "mail-waits",
        "sending",
        "mail waits to be sent",
        "the host's queue has messages that could not be delivered yet, with the reason that the other server gave",
        "the reason says which server put them off, and why; they are tried again by themselves (`postqueue -p` shows "
        "all)",
        _WAITS,
        _WAITS_ZH,
        needs_host=True,
        notice=True,
    ),
)

_BEFORE = r"(?:delivery temporarily suspended: )?"
_UNREACHED = _BEFORE + r"connect to ([^\s\[]+)\[[^]\s]*\]:{}: (?:{})"
_LOGIN = re.compile(_BEFORE + "(?:SASL authentication fail|no mechanism available|No worthy mechs)")
_CERTIFICATE = re.compile(_BEFORE + "Server certificate not (?:verified|trusted)")
_BLOCKED = re.compile(_UNREACHED.format(25, "Connection timed out|Network is unreachable|No route to host"))
_NO_RELAY = re.compile(_UNREACHED.format("(?!25:)[0-9]+", "Connection|Network|No route"))
_UNKNOWN = re.compile(_BEFORE + "relayhost configuration problem")


def held_back(queue: MailQueue) -> Iterator[tuple[str, str]]:
    """The names of causes, each with its evidence: what the queue says.

    Only what Postfix itself has put first is looked at: behind that stands what the other server wrote.
    """
    blocked = {found[1] for reason, _ in queue.reasons if (found := _BLOCKED.match(reason))}
    told: dict[str, str] = {}
    for reason, count in queue.reasons:
        told.setdefault(_cause(reason, several=len(blocked) > 1), f"{count} in the queue: {reason}")
    if queue.count and not told:
        told["mail-waits"] = f"{queue.count} in the queue; why is not told"
    yield from told.items()


def _cause(reason: str, *, several: bool) -> str:
    if _LOGIN.match(reason):
        return "relay-login"
    if _CERTIFICATE.match(reason):
        return "relay-certificate"
    if _BLOCKED.match(reason):
        # One server that is not reached may be down itself.
        return "outgoing-blocked" if several else "mail-waits"
    return "relay-unreachable" if _NO_RELAY.match(reason) or _UNKNOWN.match(reason) else "mail-waits"
