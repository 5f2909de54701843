"""The top of the command line: every command by name, and the exit codes that they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module

import click
from click.shell_completion import CompletionItem, add_completion_class

from mailprov import __version__
from mailprov.commands.completing import Bash
from mailprov.errors import Exit, MailprovError

EXIT_CODES = """\b
Exit codes, the same for every command:
  0  done, or no change
  1  error
  2  plan (--detailed-exitcode) or drift found changes
  3  the declaration, or another file that is read, is invalid
  4  the plan is stale
  5  no consent: the plan is unsafe without it, or the answer was no
  6  applied, but put back
  7  some hosts failed
  8  another apply holds the lock
  9  what was looked at is not as it should be"""

add_completion_class(Bash)

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

COMMANDS: Mapping[str, str] = {
    "apply": "Plan, ask, change the hosts, check them.",
    "check-certs": "Show how many days served certificates have left.",
    "completion": "Print a completion script for your shell.",
    "dns": "Show the DNS records that are needed, or check them.",
    "doctor": "Find out why mail does not work.",
    "drift": "Show what was changed on hosts since an apply.",
    "explain": "Show what a host gets, and from where.",
    "handout": "Generated passwords and profiles, handed out.",
    "history": "Show who applied what, when, and how it ended.",
    "init": "Write a commented mail.yaml to start from.",
    "password": "Give people new passwords, or print a hash.",
    "plan": "Show what an apply would change, and why.",
    "profiles": "Write what people's mail programs need.",
    "providers": "Show what is documented of mail providers.",
    "purge": "Show or delete mail that closed accounts have left.",
    "rehearse": "Try it all on disposable hosts on this machine.",
    "render": "Write the files that each host would get.",
    "rollback": "Put hosts back as they were before an apply.",
    "schema": "Print the JSON Schema of mail.yaml, for editors.",
    "secret": "Keep secrets in the repository, encrypted.",
    "show": "Show a plan that was kept with `plan --out`.",
    "status": "Show what runs on each host, and what is down.",
    "test": "Judge what your team expects and allows.",
    "trust": "Show a host's SSH fingerprints, and record them.",
    "users": "Look at a staff list before it is declared.",
    "validate": "Check the declaration, every error at once.",
    "verify": "Log in, send and fetch as a user would.",
}
"""every command with its summary; the file of each is loaded when it is called"""

FORMER = frozenset({"shell"})
"""former names, which go on working and are not listed"""


class _Lazy(click.Group):
    """The commands of COMMANDS. Their help can be listed without loading one of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS and cmd_name not in FORMER:
            return None
        module = import_module(f"mailprov.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


def every() -> Mapping[str, click.Command]:
    """All the commands, loaded, by name."""
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in COMMANDS}
    return {name: command for name, command in found.items() if command is not None}


@click.group(cls=_Lazy, context_settings=SETTINGS, epilog=EXIT_CODES)
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


def worst(failures: Iterable[MailprovError], count: int) -> Exit:
    """The exit code when some of `count` hosts failed: a lone host's own code, else that some failed."""
    found = list(failures)
    if not found:
        return Exit.DONE
    return found[0].exit if count == 1 else Exit.PARTIAL
