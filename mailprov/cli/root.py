"""The top of the command line, and the exit codes that every verb shares."""

from __future__ import annotations

import click

from mailprov import __version__

EXIT_CODES = """\b
Exit codes, the same for every verb:
  0  done, or no change        5  the plan is unsafe without consent
  1  error                     6  applied, but put back
  2  plan found changes        7  some hosts failed
     (--detailed-exitcode)     8  another apply holds the lock
  3  the declaration or the kept plan is invalid
  4  the plan is stale         9  verification failed"""

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=SETTINGS, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="mailprov")
def cli() -> None:
    """Turn Debian hosts into mail servers, from one YAML file, over SSH.

    Write mail.yaml, look at the plan, apply it:

    \b
      mailprov init                  a commented mail.yaml to start from
      mailprov trust mail1           record the host's SSH key
      mailprov plan                  what would change, and why; changes nothing
      mailprov apply                 the plan, a question, the change, a check
      mailprov verify                log in, send and fetch as a user would
    """
