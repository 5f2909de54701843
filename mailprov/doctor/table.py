"""Every cause, in the order in which a client meets them."""

from __future__ import annotations

from mailprov.doctor.encryption import ENCRYPTION
from mailprov.doctor.entry import ENTRY
from mailprov.doctor.reach import REACH
from mailprov.doctor.sending import SENDING

CAUSES = {cause.name: cause for cause in (*REACH, *ENCRYPTION, *ENTRY, *SENDING)}
"""by name"""

RANK = {name: rank for rank, name in enumerate(CAUSES)}
"""where in that order a cause stands, by its name"""
