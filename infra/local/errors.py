"""What the local AWS says when it cannot."""

from __future__ import annotations


class NotLocalError(Exception):
    """Refused by name: `what` exists on AWS but not here."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not supported locally: {what}")


class LoadError(Exception):
    """A COPY or UNLOAD that failed as it would in Redshift."""


class LocalAwsError(Exception):
    """The local AWS cannot be started, stopped or reached; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class SqlError(Exception):
    """What Redshift itself would refuse: the SQLSTATE and Redshift's own words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
