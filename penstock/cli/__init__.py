"""The command line: one module a verb. Exit codes: 0 done, 1 failed, 2 the user's file or arguments, 3 a gate stopped it, 130 interrupted."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point `penstock`: run the verb, and turn every error into one clear text and an exit code."""
    from penstock.cli.app import app
    from penstock.errors import PenstockError

    try:
        app()
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
