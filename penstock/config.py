"""Settings from outside the pipeline file: one precedence (argument, environment, default), and secrets that never print."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from penstock.errors import ArgumentError

ATTEMPTS, REDSHIFT_PORT = "AWS_MAX_ATTEMPTS", "PENSTOCK_LOCAL_REDSHIFT_PORT"


class Secret:
    """Text that prints as `***`; `reveal()` gives it to the client that needs it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True)
class AwsSettings:
    """Which AWS: the account of the environment, or the stand-in behind `endpoint_url`.

    `access_key_id` and `secret_access_key` are None where boto3's own chain (instance role, profile, SSO) provides them.
    `attempts`: how often a request is made until it is answered, the first time counted. `redshift_port`: of the stand-in on this machine.
    """

    region: str = "us-east-1"
    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    attempts: int = 5
    redshift_port: int | None = None

    def at(self, region: str | None) -> AwsSettings:
        """The same in another region; None stays where it is."""
        return replace(self, region=region) if region else self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> AwsSettings:
        """By the variables that AWS's own clients know. Raises ArgumentError for an `AWS_MAX_ATTEMPTS` that is no number from 1 on."""
        found = os.environ if environment is None else environment
        attempts = found.get(ATTEMPTS) or str(cls.attempts)
        if not attempts.isdecimal() or int(attempts) < 1:
            raise ArgumentError(f"{ATTEMPTS} is {attempts!r}", hint="say how often a request is made at the most: 1 or more")

        def secret(name: str) -> Secret | None:
            return Secret(found[name]) if found.get(name) else None

        return cls(
            region=found.get("AWS_REGION") or found.get("AWS_DEFAULT_REGION") or "us-east-1",
            endpoint_url=found.get("AWS_ENDPOINT_URL") or None,
            access_key_id=found.get("AWS_ACCESS_KEY_ID") or None,
            secret_access_key=secret("AWS_SECRET_ACCESS_KEY"),
            session_token=secret("AWS_SESSION_TOKEN"),
            attempts=int(attempts),
            redshift_port=int(found[REDSHIFT_PORT]) if found.get(REDSHIFT_PORT) else None,
        )
