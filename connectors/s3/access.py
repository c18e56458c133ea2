"""One set of AWS settings in the words of each client: boto3, DuckDB, pyiceberg, delta-rs."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any, NamedTuple

from penstock.config import AwsSettings
from penstock.schema import literal

_SESSION_SECONDS = 60


class Keys(NamedTuple):
    """What a client other than boto3 signs with."""

    access_key: str
    secret_key: str
    token: str | None


def client(service: str, aws: AwsSettings) -> Any:
    """A client as boto3 gives it; path-style addressing where an endpoint is given, standard retries."""
    from botocore.config import Config
    from botocore.session import get_session

    config = Config(
        s3={"addressing_style": "path"} if aws.endpoint_url else None,
        retries={"mode": "standard", "total_max_attempts": aws.attempts},
        connect_timeout=5,
        read_timeout=60,
    )
    keys: dict[str, Any] = {}
    if aws.access_key_id and aws.secret_access_key:
        token = aws.session_token.reveal() if aws.session_token else None
        keys = {"aws_access_key_id": aws.access_key_id, "aws_secret_access_key": aws.secret_access_key.reveal(), "aws_session_token": token}
    session = get_session()
    session.register_component("data_loader", _loader())
    return session.create_client(service, region_name=aws.region, endpoint_url=aws.endpoint_url, config=config, **keys)


def credentials(aws: AwsSettings) -> Keys | None:
    """The keys of now that clients other than boto3 are given; None where there are none (a public bucket). Those of a role change while a run is at work."""
    if aws.access_key_id and aws.secret_access_key:
        return Keys(aws.access_key_id, aws.secret_access_key.reveal(), aws.session_token.reveal() if aws.session_token else None)
    found = _session(aws.region, int(time.monotonic() / _SESSION_SECONDS)).get_credentials()
    frozen = found.get_frozen_credentials() if found else None
    return Keys(str(frozen.access_key), str(frozen.secret_key), frozen.token) if frozen else None


@lru_cache(maxsize=1)
def _loader() -> Any:
    """What describes the services of AWS: megabytes, which each session would read for itself."""
    from botocore.session import get_session

    return get_session().get_component("data_loader")


@lru_cache(maxsize=2)
def _session(region: str, minute: int) -> Any:
    """It renews the keys of a role by itself; a new one every minute reads what others write into the files of keys."""
    import boto3

    del minute
    return boto3.session.Session(region_name=region)


def duckdb_secret(aws: AwsSettings) -> str:
    """The statements that let DuckDB's httpfs read and write `s3://`."""
    keys = credentials(aws)
    options = {"TYPE": "s3", "REGION": literal(aws.region)}
    if keys:
        options |= {"KEY_ID": literal(keys.access_key), "SECRET": literal(keys.secret_key)}
        if keys.token:
            options["SESSION_TOKEN"] = literal(keys.token)
    if aws.endpoint_url:
        scheme, _, host = aws.endpoint_url.partition("://")
        options |= {"ENDPOINT": literal(host), "URL_STYLE": "'path'", "USE_SSL": "true" if scheme == "https" else "false"}
    return f"SET http_retries = {aws.attempts - 1}; CREATE OR REPLACE SECRET penstock ({', '.join(f'{k} {v}' for k, v in options.items())})"


def pyiceberg_properties(aws: AwsSettings) -> dict[str, str]:
    """`s3.*` and `glue.*` properties; `s3.region` is always given, else a scan goes to find it out (seconds)."""
    keys = credentials(aws)
    found = {"s3.region": aws.region, "glue.region": aws.region}
    for service in ("s3", "glue"):
        if aws.endpoint_url:
            found[f"{service}.endpoint"] = aws.endpoint_url
        if keys:
            found |= {f"{service}.access-key-id": keys.access_key, f"{service}.secret-access-key": keys.secret_key}
            if keys.token:
                found[f"{service}.session-token"] = keys.token
    return found


def deltalake_options(aws: AwsSettings) -> dict[str, str]:
    """`storage_options` of delta-rs."""
    keys = credentials(aws)
    found = {"AWS_REGION": aws.region}
    if keys:
        found |= {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
        if keys.token:
            found["AWS_SESSION_TOKEN"] = keys.token
    if aws.endpoint_url:
        found |= {"AWS_ENDPOINT_URL": aws.endpoint_url, "AWS_ALLOW_HTTP": "true" if aws.endpoint_url.startswith("http://") else "false"}
    return found
