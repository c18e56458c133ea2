"""A bucket, or a prefix in one, as an object store; conditional requests of S3 carry the comparisons."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.errors import ConnectionFailedError, SourceChangedError, SourceError
from penstock.objects import ObjectInfo

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_CONFLICT_TRIES = 5
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_PRECONDITION = frozenset({"PreconditionFailed", "412"})
_CONFLICT = frozenset({"ConditionalRequestConflict", "409"})
_DENIED = frozenset({"AccessDenied", "403"})
_ACTIONS = {"ListObjectsV2": "ListBucket"}  # where the permission has another name than the request
_HINTS = {
    "NoSuchBucket": "create the bucket, or correct `bucket` and `region` of the connection",
    "InvalidAccessKeyId": "check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID or the instance's role)",
    "SignatureDoesNotMatch": "check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID or the instance's role)",
    "ExpiredToken": "the session's credentials have expired: log in again",
    "PermanentRedirect": "the bucket lies in another region: give `region` in the connection",
}


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


class BucketStore:
    """Objects are the keys of `bucket` that begin with `prefix`. A put whose answer was lost may have been done: `create` then says False."""

    def __init__(self, aws: AwsSettings, bucket: str, prefix: str = "") -> None:
        self._aws, self._bucket = aws, bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @cached_property
    def _s3(self) -> Any:
        return client("s3", self._aws)

    @property
    def root(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def check(self) -> None:
        next(self._pages(MaxKeys=1))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for page in self._pages(Prefix=self._prefix + prefix):
            for found in page.get("Contents", ()):
                yield ObjectInfo(f"s3://{self._bucket}/{found['Key']}", found["Size"], found["ETag"].strip('"'))

    def read(self, key: str, *, if_match: str | None = None) -> bytes:
        condition = {} if if_match is None else {"IfMatch": f'"{if_match}"'}
        found = self._get(key, condition)
        if found is None:
            raise SourceError(f"{self.root}{key} is not there", hint="put it back, or `penstock batch skip` the batch that names it")
        return found[0]

    def find(self, key: str) -> tuple[bytes, str] | None:
        return self._get(key, {})

    def create(self, key: str, data: bytes) -> bool:
        return self._put(key, data, {"IfNoneMatch": "*"})

    def replace(self, key: str, data: bytes, *, if_match: str) -> bool:
        return self._put(key, data, {"IfMatch": f'"{if_match}"'})

    def write(self, key: str, data: bytes) -> None:
        with self._translated():
            self._s3.put_object(**self._named(key), Body=data)

    def delete(self, key: str) -> None:
        with self._translated():
            self._s3.delete_object(**self._named(key))

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _pages(self, **request: Any) -> Iterator[Any]:
        with self._translated():
            yield from self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **request)

    def _get(self, key: str, condition: Mapping[str, str]) -> tuple[bytes, str] | None:
        from botocore.exceptions import ClientError

        with self._translated():
            try:
                answer = self._s3.get_object(**self._named(key), **condition)
                return answer["Body"].read(), answer["ETag"].strip('"')
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                if _code(error) in _PRECONDITION:
                    raise SourceChangedError(
                        f"{self.root}{key} changed after its batch was cut",
                        hint="put the former object back, or `penstock batch retry` to take it as it is now",
                    ) from error
                raise

    def _put(self, key: str, data: bytes, condition: Mapping[str, str]) -> bool:
        """A conditional put; a conflict with a put that is still under way (409) is tried again, as S3 asks."""
        from botocore.exceptions import ClientError

        with self._translated():
            for attempt in range(_CONFLICT_TRIES):
                try:
                    self._s3.put_object(**self._named(key), Body=data, **condition)
                    return True
                except ClientError as error:
                    if _code(error) in _PRECONDITION | _MISSING:
                        return False
                    if _code(error) not in _CONFLICT or attempt == _CONFLICT_TRIES - 1:
                        raise
                    time.sleep(0.05 * 2**attempt)
        return False

    def _needed(self, error: ClientError) -> str:
        """The permission that a refused caller lacks; a reader who may not list is refused what is not there, too."""
        if _code(error) not in _DENIED:
            return ""
        action, arn = _ACTIONS.get(error.operation_name, error.operation_name), f"arn:aws:s3:::{self._bucket}"
        what = f"s3:{action} on {arn if action == 'ListBucket' else f'{arn}/{self._prefix}*'}"
        return f"the caller needs {what}" + (f" and s3:ListBucket on {arn}" if action == "GetObject" else "")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        where = f"bucket {self._bucket!r} at {self._aws.endpoint_url or f'S3 in {self._aws.region}'}"
        try:
            yield
        except ClientError as error:
            hint = self._needed(error) or _HINTS.get(_code(error), "check the bucket's name, its region and the caller's permissions")
            raise ConnectionFailedError(
                f"{where} refused {error.operation_name}: {_code(error)}: {error.response['Error'].get('Message', '')}", hint=hint
            ) from error
        except BotoCoreError as error:
            raise ConnectionFailedError(
                f"{where} could not be reached: {error}", hint="check the endpoint, the network and the credentials; `penstock local up` starts the local AWS"
            ) from error
