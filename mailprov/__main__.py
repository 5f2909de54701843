"""The command: `mailprov`, or `python -m mailprov`."""

from __future__ import annotations


def main() -> None:
    """Run a verb and leave with its exit code; an interruption is a message also while the program is being loaded."""
    try:
        from mailprov.commands import main as run
    except KeyboardInterrupt:
        raise SystemExit("Error: interrupted: nothing was changed") from None
    run()


if __name__ == "__main__":
    main()
