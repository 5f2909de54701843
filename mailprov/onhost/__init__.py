"""POSIX sh that runs on hosts: what is asked, what a transaction does, and the test account."""

from pathlib import Path


def text(name: str) -> str:
    """The script called `name`."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
