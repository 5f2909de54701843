"""The one error of the lab."""

from __future__ import annotations

from mailprov.errors import MailprovError


class LabError(MailprovError):
    """A disposable host could not be made, reached or used."""
