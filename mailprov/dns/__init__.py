"""The DNS records that a declaration needs, and how those that are there compare (pure)."""

from __future__ import annotations

from mailprov.dns.judge import Answer, Finding, judge, questions
from mailprov.dns.records import Keys, Kind, Record, Spf, Zone, dkim_records, zones
from mailprov.dns.zonefile import zonefile

__all__ = [
    "Answer",
    "Finding",
    "Keys",
    "Kind",
    "Record",
    "Spf",
    "Zone",
    "dkim_records",
    "judge",
    "questions",
    "zonefile",
    "zones",
]
