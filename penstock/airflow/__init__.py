"""Pipelines under Airflow 3: one DAG a pipeline file, one task a step. `dags/penstock_pipelines.py` loads them."""
