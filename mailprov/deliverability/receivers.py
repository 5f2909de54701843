"""What large receivers ask of senders, as data with its sources, and how a domain stands by it (pure).

`checked_on` is the day on which a copy of the page was made, or was read where it says no day. A rule is not verified
where the receiver's own page could not be read, and others quote it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from mailprov.deliverability.words import About, Finding, Outcome, Receiver, Rule, Ruling, best, worst

_GMAIL: Final = ("https://support.google.com/mail/answer/81126", date(2026, 7, 2))
_OUTLOOK: Final = (
    "https://techcommunity.microsoft.com/blog/microsoftdefenderforoffice365blog/"
    "strengthening-email-ecosystem-outlook%E2%80%99s-new-requirements-for-high%E2%80%90volume-senders/4399730",
    date(2025, 8, 2),
)
_OUTLOOK_POLICIES: Final = (
    "https://substrate.office.com/ip-domain-management-snds/Postmaster/Policies",
    date(2026, 6, 16),
)
_YAHOO: Final = ("https://senders.yahooinc.com/best-practices/", date(2026, 6, 18))
_NETEASE: Final = ("http://help.163.com/09/1224/17/5RAJ4LMH00753VB8.html", date(2026, 12, 1))
_NETEASE_SPF: Final = ("http://mail.163.com/hd/all/chengxin/3.htm", date(2026, 12, 1))
_NETEASE_FEEDBACK: Final = ("http://money.mail.yeah.net/", date(2026, 12, 1))
_QQ: Final = ("https://open.mail.qq.com/", date(2026, 12, 1))
_QQ_SPF: Final = ("https://service.mail.qq.com/cgi-bin/help?subtype=1&no=417&id=48", date(2026, 12, 1))

_SPF_OR_DKIM: Final[tuple[tuple[About, ...], ...]] = (("spf", "dkim"),)
_SPF_AND_DKIM: Final[tuple[tuple[About, ...], ...]] = (("spf",), ("dkim",))
_REVERSE: Final[tuple[tuple[About, ...], ...]] = (("reverse",),)
_DMARC: Final[tuple[tuple[About, ...], ...]] = (("dmarc",), ("alignment", "dkim"))
_SPF: Final[tuple[tuple[About, ...], ...]] = (("spf",),)

RECEIVERS: Final = (
    Receiver(
        "Gmail",
        "gmail.com, googlemail.com",
        "5,000 messages a day or more",
        (
            Rule("authentication", "SPF or DKIM passes", _SPF_OR_DKIM, False, *_GMAIL),
            Rule("reverse DNS", "each address has a name that leads back to it", _REVERSE, False, *_GMAIL),
            Rule("TLS", "mail comes over TLS", (), False, *_GMAIL),
            Rule("complaints", "fewer than 0.3 % of messages are reported as spam", (), False, *_GMAIL),
            Rule("authentication of bulk", "SPF and DKIM pass", _SPF_AND_DKIM, True, *_GMAIL),
            Rule("DMARC", "there is a DMARC policy, p=none or more, and it passes", _DMARC, True, *_GMAIL),
            Rule("unsubscribe", "newsletters can be left with one click", (), True, *_GMAIL),
        ),
    ),
    Receiver(
        "Microsoft",
        "outlook.com, hotmail.com, live.com",
        "5,000 messages a day or more",
        (
            Rule("reverse DNS", "mail servers have valid reverse DNS", _REVERSE, False, *_OUTLOOK_POLICIES),
            Rule("SPF of bulk", "SPF passes", _SPF, True, *_OUTLOOK),
            Rule("DKIM of bulk", "DKIM passes", (("dkim",),), True, *_OUTLOOK),
            Rule("DMARC", "there is a DMARC policy, p=none or more, and it passes", _DMARC, True, *_OUTLOOK),
            Rule("unsubscribe", "newsletters can be left", (), True, *_OUTLOOK),
        ),
    ),
    Receiver(
        "Yahoo",
        "yahoo.com, aol.com",
        "a significant volume: no number is said",
        (
            Rule("authentication", "SPF or DKIM passes", _SPF_OR_DKIM, False, *_YAHOO),
            Rule("reverse DNS", "each address has a name that leads back to it", _REVERSE, False, *_YAHOO),
            Rule("complaints", "fewer than 0.3 % of messages are reported as spam", (), False, *_YAHOO),
            Rule("authentication of bulk", "SPF and DKIM pass", _SPF_AND_DKIM, True, *_YAHOO),
            Rule("DMARC", "there is a DMARC policy, p=none or more, and it passes", _DMARC, True, *_YAHOO),
            Rule("unsubscribe", "newsletters can be left with one click", (), True, *_YAHOO),
        ),
    ),
    Receiver(
        "QQ",
        "qq.com, foxmail.com",
        "whoever sends to many: no number is said",
        (
            Rule("SPF", "SPF passes", _SPF, False, *_QQ_SPF, False),
            Rule("reputation", "the address and the domain are on no block list", (), False, *_QQ, False),
            Rule("reverse DNS", "each address has a name (PTR)", _REVERSE, True, *_QQ, False),
            Rule("DKIM", "mail is signed with DKIM", (("dkim",),), True, *_QQ, False),
        ),
    ),
    Receiver(
        "NetEase",
        "163.com, 126.com, yeah.net",
        "3,000 messages an hour, 100,000 a day",
        (
            Rule("SPF", "SPF does not refuse the address (550 MI:SPF)", _SPF, False, *_NETEASE_SPF),
            Rule(
                "DMARC",
                "the domain's DMARC policy does not refuse it (550 MI:DMA)",
                (("alignment", "dkim"),),
                False,
                *_NETEASE,
                False,
            ),
            Rule("reputation", "the address and the sender are on no block list", (), False, *_NETEASE_FEEDBACK),
        ),
    ),
)


def rulings(findings: Sequence[Finding]) -> Iterator[Ruling]:
    """How each receiver's rules stand, by all that was found of a domain and of the hosts that send for it."""
    outcomes: dict[About, Outcome] = {}
    for about in {finding.about for finding in findings}:
        outcomes[about] = worst(finding.outcome for finding in findings if finding.about == about)
    for receiver in RECEIVERS:
        for rule in receiver.rules:
            yield _ruling(receiver, rule, outcomes)


def _ruling(receiver: Receiver, rule: Rule, outcomes: dict[About, Outcome]) -> Ruling:
    groups = [(group, best(outcomes.get(about, "untold") for about in group)) for group in rule.asks]
    outcome = worst(found for _, found in groups)
    because = (
        tuple(about for group, found in groups if found == outcome for about in group) if outcome != "pass" else ()
    )
    return Ruling(receiver, rule, outcome, tuple(dict.fromkeys(because)))
