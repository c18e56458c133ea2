"""What the job APIs have in common: what `spark-submit` is told, what states are called, where logs go."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .spark_jobs import Phase, Script, SparkJob, spark_submit
from .submit_options import parsed


def script_of(words: Sequence[str]) -> Script:
    """What `spark-submit` is told by these words: options, the script, its arguments."""
    said = parsed(words)
    uri, *arguments = said.rest
    return Script(uri, tuple(arguments), said.of_spark(), said.listed("spark.submit.pyFiles"), said.listed("spark.archives"), said.driver_environment())


def spark_defaults(configurations: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings of Spark among the configurations of an application, as options of `spark-submit`."""
    found = (c["properties"] for c in configurations if c["classification"] == "spark-defaults")
    return [word for properties in found for key, value in properties.items() for word in ("--conf", f"{key}={value}")]


def state(job: SparkJob, states: Mapping[Phase, str], cancelling: str) -> str:
    """The service's word for what a job is doing."""
    return cancelling if job.is_cancelled and not job.has_ended else states[job.phase]


def put_log(s3: Any, folder: str, name: str, data: bytes) -> str:
    """Write a log, gzipped, below a folder of S3; its URI."""
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    s3.put_object(Bucket=bucket, Key=f"{prefix}{name}", Body=gzip.compress(data))
    return f"s3://{bucket}/{prefix}{name}"


def refuse(error: Callable[[str], Exception], why: str | None) -> None:
    """Raises the service's own error where there is a reason to; one reason is that this machine has no Spark."""
    if why is None:
        try:
            spark_submit()
        except RuntimeError as missing:
            why = str(missing)
    if why is not None:
        raise error(why)


def put_in_place(response: type[Any], **methods: Callable[[Any], Any]) -> None:
    """Have moto's responses answered by these, each of which is given the request."""
    for name, method in methods.items():
        setattr(response, name, lambda request, method=method: method(request))
