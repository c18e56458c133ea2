"""Every pipeline below `pipelines/` as a DAG. PENSTOCK_ENV names the environment; without it `local` is taken where a file has one."""

from __future__ import annotations

import os
from pathlib import Path

from penstock.airflow.dags import dag_of

for file in sorted((Path(__file__).parent / "pipelines").glob("*/pipeline.yaml")):
    dag = dag_of(file, os.environ.get("PENSTOCK_ENV"))
    globals()[dag.dag_id] = dag
