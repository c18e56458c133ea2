"""Requests to a service that runs jobs, and what its refusals mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from penstock.connectors.reaching import reaching
from penstock.errors import ArgumentError, JobRefusedError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

Answer = TypeVar("Answer")
_NOT_THERE = frozenset({"ResourceNotFoundException", "EntityNotFoundException"})
_SAID_SO = re.compile(r"does not exist|is not valid|not found", re.IGNORECASE)  # how EMR says it, in an error that may mean other things
_MAY_SAY_SO = frozenset({"InvalidRequestException", "ValidationException"})
_LATER = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "ConcurrentModificationException"})
_DENIED = frozenset({"AccessDeniedException", "AccessDenied"})
_ACTIONS = {"emr": "elasticmapreduce"}  # where permissions are named otherwise than the client


class Asked:
    """A client of boto3, and what it is asked about.

    Every method raises JobRefusedError when the service says no, ConnectionFailedError when it does not answer or says to come back later.
    """

    def __init__(self, what: str, client: Any) -> None:
        self.what, self._client = what, client

    def get(self, method: str, **request: Any) -> dict[str, Any] | None:
        """The answer, None when the service says that there is no such thing."""
        return self._known(lambda: dict(getattr(self._client, method)(**request)))

    def do(self, method: str, **request: Any) -> dict[str, Any]:
        """The answer; raises ArgumentError when the service says that there is no such thing."""
        answer = self.get(method, **request)
        if answer is None:
            region = self._client.meta.region_name
            raise ArgumentError(f"there is no {self.what} in {region}", hint="make it, or correct the environment's `runtime`, and `region` in it")
        return answer

    def make(self, method: str, **request: Any) -> dict[str, Any]:
        """The answer; of what the service is to make something of, what it says is not there is refused."""
        return cast("dict[str, Any]", self._known(lambda: dict(getattr(self._client, method)(**request)), may_be_missing=False))

    def first(self, method: str, part: str, is_it: Callable[[Mapping[str, Any]], bool], **request: Any) -> Mapping[str, Any] | None:
        """Of what a method lists under a name, page by page, the first that is it."""
        return self._known(lambda: next((found for page in self._pages(method, request) for found in page[part] if is_it(found)), None))

    def _pages(self, method: str, request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        if self._client.can_paginate(method):
            yield from self._client.get_paginator(method).paginate(**request)
            return
        page = getattr(self._client, method)(**request)
        yield page
        while page.get("NextToken"):
            page = getattr(self._client, method)(**request, NextToken=page["NextToken"])
            yield page

    def _known(self, ask: Callable[[], Answer], *, may_be_missing: bool = True) -> Answer | None:
        from botocore.exceptions import ClientError

        with reaching(self.what):
            try:
                return ask()
            except ClientError as error:
                code, message = error.response["Error"]["Code"], error.response["Error"].get("Message") or ""
                if may_be_missing and (code in _NOT_THERE or (code in _MAY_SAY_SO and _SAID_SO.search(message))):
                    return None
                if code in _LATER or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                    raise
                raise JobRefusedError(f"{self.what} refused {error.operation_name}: {code}: {message}", hint=self._needed(error, code, message)) from error

    def _needed(self, error: ClientError, code: str, message: str) -> str | None:
        """The permission that is missing, where the message itself does not name one."""
        service = self._client.meta.service_model.service_name
        if code not in _DENIED or "authorized to perform" in message:
            return None
        return f"the caller needs {_ACTIONS.get(service, service)}:{error.operation_name} on {self.what}"
