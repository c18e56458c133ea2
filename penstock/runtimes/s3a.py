"""What an Apache Spark lacks to read and write S3, by Maven coordinates; the platforms of AWS bring their own."""

_HADOOP, _AWS_SDK = "3.4.2", "2.29.52"  # those that Spark 4.1 is built with
# what S3A uses of AWS's SDK; the bundle that hadoop-aws asks for has all of its services, 640 MB
PACKAGES = (
    f"org.apache.hadoop:hadoop-aws:{_HADOOP}",
    *(f"software.amazon.awssdk:{part}:{_AWS_SDK}" for part in ("s3-transfer-manager", "sts", "apache-client")),
)
EXCLUDED = "software.amazon.awssdk:bundle"
