"""What Spark is told so that driver and executors find Penstock and what it needs.

Seen in: github.com/apache/spark docs/running-on-yarn.md and configuration.md (`spark.yarn.appMasterEnv.*`, `spark.executorEnv.*`);
jcristharif.com/venv-pack/spark.html (a name after `#` is the folder to which an archive is unpacked, beside the process). Tried with Spark 4.1 on
`local-cluster`: executors import Penstock from the zip, what it needs from the folder, and pyspark from the platform.
"""

from __future__ import annotations

from penstock.targets import Emr, EmrCluster, EmrServerless, EmrServerlessSession

from .artifact import Artifact

FOLDER = "environment"


def on_spark(target: Emr | EmrCluster | EmrServerless | EmrServerlessSession, artifact: Artifact, driver_environment: str) -> dict[str, str]:
    """Settings by their names. Spark puts its own Python before `PYTHONPATH`, so the platform's pyspark stays the one that is loaded."""
    interpreter = f"/usr/bin/python{target.python}"
    sizes = {
        f"spark.{who}.{what}": str(value)
        for who, size in (("driver", target.driver), ("executor", target.executor))
        if size
        for what, value in (("cores", size.cores), ("memory", size.memory))
    }
    return {
        "spark.archives": f"{artifact.dependencies}#{FOLDER}",
        "spark.submit.pyFiles": artifact.package,
        f"{driver_environment}.PYSPARK_DRIVER_PYTHON": interpreter,
        f"{driver_environment}.PYSPARK_PYTHON": interpreter,
        f"{driver_environment}.PYTHONPATH": f"./{FOLDER}",
        "spark.executorEnv.PYSPARK_PYTHON": interpreter,
        "spark.executorEnv.PYTHONPATH": f"./{FOLDER}",
        **sizes,
        **{f"spark.dynamicAllocation.{which}Executors": str(n) for which, n in (("initial", target.initial_executors), ("max", target.max_executors)) if n},
    }
