"""From what was seen of a mail server to what is wrong with it (pure): observations in, named causes with cures out."""

from __future__ import annotations

from mailprov.doctor.causes import Cause
from mailprov.doctor.diagnosis import Diagnosis, Finding, Look, diagnosis
from mailprov.doctor.host_report import HostReport, host_report
from mailprov.doctor.table import CAUSES

__all__ = ["CAUSES", "Cause", "Diagnosis", "Finding", "HostReport", "Look", "diagnosis", "host_report"]
