"""What an Apache Spark lacks to read and write S3, by Maven coordinates; the platforms of AWS bring their own."""

from __future__ import annotations

from penstock.config import AwsSettings

_HADOOP, _AWS_SDK = "3.4.2", "2.29.52"  # those that Spark 4.1 is built with
# what S3A uses of AWS's SDK; the bundle that hadoop-aws asks for has all of its services, 640 MB
PACKAGES = (
    f"org.apache.hadoop:hadoop-aws:{_HADOOP}",
    *(f"software.amazon.awssdk:{part}:{_AWS_SDK}" for part in ("s3-transfer-manager", "sts", "apache-client")),
)
EXCLUDED = "software.amazon.awssdk:bundle"


def reaching_s3(aws: AwsSettings) -> dict[str, str]:
    """How Hadoop's S3A reaches an endpoint that is not AWS's own; the platforms of AWS need nothing said."""
    if not aws.endpoint_url:
        return {}
    found = {"endpoint": aws.endpoint_url, "path.style.access": "true", "endpoint.region": aws.region}
    if aws.access_key_id and aws.secret_access_key:
        found |= {"access.key": aws.access_key_id, "secret.key": aws.secret_access_key.reveal()}
    s3a = {f"spark.hadoop.fs.s3a.{name}": value for name, value in found.items()}
    return s3a | {"spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem"}
