"""Spark in a session of a service: a run of this process works in it, the next one finds it, and what is not there is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spark_server
from deployed_shop import PYTHON, ROLE, Shop, open_shop

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.connectors.spark_sessions import sessions_of
from penstock.engines.spark.connecting import new_session
from penstock.infra.local.control import LocalAws
from penstock.jobs.record import ignore
from penstock.jobs.spark_session import SessionOfService
from penstock.runtimes import Artifact
from penstock.targets import GlueSession

pytestmark = pytest.mark.skipif(bool(spark_server.missing()) or spark_server.IS_BEFORE_4, reason=spark_server.missing() or "Connect of Spark 3.5 lacks much")


@pytest.fixture
def shop(tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> Shop:
    return open_shop(tmp_path, local_aws, local_bucket)


def test_a_run_works_in_a_session_that_the_next_one_finds(shop: Shop, local_aws: LocalAws) -> None:
    plan = shop.penstock("plan", ".", "--env", "session")
    assert f"on Spark, a session of EMR Serverless, application 00f1abc, Python {PYTHON}: orders" in plan.out
    nothing = shop.penstock("run", ".", "--env", "session")
    shop.deliver("1", "1,2.5")
    refused = shop.penstock("run", ".", "--env", "session")
    assert (nothing.code, refused.code, "nothing is deployed that a session of EMR Serverless" in refused.err) == (0, 2, True), (nothing.err, refused.err)

    other = "3.12" if PYTHON == "3.11" else "3.11"
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace(f'python: "{PYTHON}"', f'python: "{other}"'))
    unfit = shop.penstock("run", ".", "--env", "session")
    assert (unfit.code, f"Python {PYTHON} runs here, and a session of EMR Serverless" in unfit.err) == (2, True), unfit.err
    shop.write("pipeline.yaml", shop.text("pipeline.yaml").replace(f'python: "{other}"', f'python: "{PYTHON}"'))

    shop.deploy("session")
    service = client("emr-serverless", AwsSettings.from_environment(local_aws.environment()))
    for number in ("1", "2"):
        shop.deliver(number, f"{number},2.5")
        done = shop.penstock("run", ".", "--env", "session")
        assert (done.code, "Spark is a session of EMR Serverless, application 00f1abc" in done.out) == (0, True), (done.out, done.err)
    assert shop.table() == [{"id": 1, "amount": 2.5}, {"id": 2, "amount": 2.5}]
    (found,) = service.list_sessions(applicationId="00f1abc")["sessions"]
    service.terminate_session(applicationId="00f1abc", sessionId=found["sessionId"])


def test_a_session_of_glue_is_reached_and_replaced_when_it_has_ended(local_aws: LocalAws) -> None:
    aws = AwsSettings.from_environment(local_aws.environment())
    target, artifact = GlueSession(kind="glue", role=ROLE), Artifact(*(["s3://a/b"] * 4))
    session = SessionOfService(target, lambda: sessions_of(target, artifact, aws), ignore)

    def one() -> Any:
        with new_session(aws, session) as spark:
            return spark.sql("SELECT 1 AS one").collect()[0].one

    service = client("glue", aws)
    assert one() == 1
    (first,) = service.list_sessions()["Ids"]
    service.stop_session(Id=first)
    assert one() == 1
    second, former = service.list_sessions()["Ids"]
    assert (former, second.rpartition("-")[0]) == (first, first.rpartition("-")[0])
    service.stop_session(Id=second)
