"""`penstock local up | down | reset | shell | fault | status`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from penstock.errors import LocalAwsFailedError, MissingExtraError

if TYPE_CHECKING:
    from penstock.infra.local.control import LocalAws


@contextmanager
def _explained() -> Iterator[None]:
    """The stand-in's errors as Penstock's own."""
    try:
        from penstock.infra.local.errors import LocalAwsError
    except ImportError as error:
        raise MissingExtraError(error.name or "moto", "local") from error
    try:
        yield
    except LocalAwsError as error:
        raise LocalAwsFailedError(str(error), hint=error.hint) from error


def ensure_up(port: int = 0, redshift_port: int = 0) -> LocalAws:
    """The local AWS, started when it is not up."""
    with _explained():
        from penstock.infra.local.control import up

        found = up(port=port, redshift_port=redshift_port)
    if found.said:
        print(f"penstock: {found.said}", file=sys.stderr)  # noqa: T201
    return found


def up_command(port: int, redshift_port: int) -> None:
    _show(ensure_up(port, redshift_port))


def down_command() -> None:
    with _explained():
        from penstock.infra.local.control import down

        print("the local AWS is down, its state is kept" if down() else "the local AWS was not up")  # noqa: T201


def reset_command() -> None:
    with _explained():
        from penstock.infra.local.control import reset

        print(f"the local AWS is down, and all that it held is gone: {reset()}")  # noqa: T201


def shell_command(command: str | None) -> int:
    """Exit code 1 where a statement failed."""
    with _explained():
        from penstock.infra.local.shell import shell

        return shell(ensure_up(), command)


def fault_command(service: str, asked: Mapping[str, Any]) -> None:
    with _explained():
        from penstock.infra.local.control import fault

        left = fault(ensure_up(), None if service == "clear" else {"service": service, **asked})
    print(f"{left} faults are asked for" if left else "no faults are asked for")  # noqa: T201


def status_command() -> int:
    with _explained():
        from penstock.infra.local.control import status

        found = status()
    if found is None:
        print("the local AWS is down; next: penstock local up")  # noqa: T201
        return 1
    _show(found)
    return 0


def _show(found: LocalAws) -> None:
    """Where it listens, and the lines that point other tools to it."""
    print(f"the local AWS is up: {found.endpoint_url} (S3, Glue, Secrets Manager, Redshift Data API), process {found.pid}, state in {found.home}")  # noqa: T201
    print(f"Redshift's wire protocol: {found.redshift_dsn} (SQL: penstock local shell)")  # noqa: T201
    for name, value in found.environment().items():
        print(f"  export {name}={value}")  # noqa: T201
