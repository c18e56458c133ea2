"""What clients raise when a service does not answer, in one list; and the error that Penstock makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from penstock.errors import ConnectionFailedError, PenstockError


def lost_answers() -> tuple[type[Exception], ...]:
    """What is raised when nobody can say whether a request was carried out."""
    from botocore.exceptions import BotoCoreError, ClientError
    from deltalake.exceptions import DeltaError
    from pyiceberg.exceptions import CommitStateUnknownException, ServerError
    from sqlalchemy.exc import SQLAlchemyError

    return (OSError, BotoCoreError, ClientError, DeltaError, CommitStateUnknownException, ServerError, SQLAlchemyError)


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """Raises ConnectionFailedError for a service that refuses or does not answer; errors of this machine's own disk pass as they are."""
    try:
        yield
    except PenstockError:
        raise
    except lost_answers() as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError | TimeoutError):
            raise
        hint = "check the endpoint, the network, the credentials and their permissions; `penstock local up` starts the local AWS"
        raise ConnectionFailedError(f"{what} could not be reached: {type(error).__name__}: {error}", hint=hint) from error
