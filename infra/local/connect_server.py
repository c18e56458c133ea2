"""A Spark Connect server, as a script of `spark-submit`: it serves, once it has a session to serve from, until it is ended."""

from __future__ import annotations

import threading

from penstock.config import AwsSettings
from penstock.runtimes.s3a import reaching_s3


def main() -> None:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    for setting, value in reaching_s3(AwsSettings.from_environment()).items():
        builder = builder.config(setting, value)
    spark = builder.getOrCreate()
    spark._jvm.org.apache.spark.sql.connect.service.SparkConnectService.start(spark.sparkContext._jsc.sc())
    threading.Event().wait()


if __name__ == "__main__":
    main()
