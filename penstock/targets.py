"""An environment's `runtime`, where a pipeline runs when it does not run here, and its `spark`, where it has Spark when it does.

What each service is asked lies in `penstock.runtimes`.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from penstock.connections import Model
from penstock.errors import ArgumentError

_OWN_SETTINGS = re.compile(
    r"spark\.(archives|master|eventLog\..*|submit\.(pyFiles|deployMode)|pyspark\.(driver\.)?python|(driver|executor)\.(cores|memory)"
    r"|dynamicAllocation\.(max|initial)Executors|emr-serverless\.(driver|executor)\.disk"
    r"|(emr-serverless\.driverEnv|yarn\.appMasterEnv|executorEnv)\.(PYSPARK_(DRIVER_)?PYTHON|PYTHONPATH))"
)


def _left_to_the_user(conf: dict[str, str]) -> dict[str, str]:
    for key in conf:
        if not re.fullmatch(r"spark\.[^\s=]+", key):
            raise ValueError(f"{key!r} is not a setting of Spark: those begin with spark.")
        if _OWN_SETTINGS.fullmatch(key):
            raise ValueError(f"{key} is Penstock's to set, from the version that runs and from the sizes of the runtime")
    return conf


def _in_one_word(conf: dict[str, str]) -> dict[str, str]:
    for key, value in conf.items():
        if not re.fullmatch(r"\S+", value):
            raise ValueError(f"{key}: Glue takes all settings in one text, divided by spaces; {value!r} would break it")
    return conf


Conf = Annotated[dict[str, str], AfterValidator(_left_to_the_user)]
Python = Literal["3.11", "3.12", "3.13"]
Role = Annotated[str, Field(pattern=r"^arn:aws[\w-]*:iam::\d{12}:role/\S+$")]
Key = Annotated[str, Field(pattern=r"^arn:aws[\w-]*:kms:[\w-]+:\d{12}:key/\S+$")]
InstanceType = Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]
Folder = Annotated[str, Field(pattern=r"^s3://[^\s,#]+/$", description="s3://bucket/prefix/")]


class Size(Model):
    """What a driver, or each executor, has. Memory and disk as Spark writes them: `16g`."""

    cores: int = Field(ge=1)
    memory: str = Field(pattern=r"^[1-9]\d*[gm]$")
    disk: str | None = Field(default=None, pattern=r"^[1-9]\d*g$", description="EMR Serverless alone")


class _Somewhere(Model):
    region: str | None = Field(default=None, pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="by default that of the connections, else us-east-1")


class _Runtime(_Somewhere):
    start_within_minutes: int = Field(default=60, ge=1, description="a job run that still waits for its place then is cancelled")
    logs: Folder | None = Field(default=None, description="where the service puts the driver's and the executors' logs, and Spark's event log")


class _OnEmr(Model):
    python: Python = Field(default="3.11", description="the interpreter that driver and executors use, /usr/bin/python3.11; the archive is made for it")
    driver: Size | None = None
    executor: Size | None = None
    initial_executors: int | None = Field(default=None, ge=1, description="asked for at once; on EMR Serverless of the application's initial capacity")
    max_executors: int | None = Field(default=None, ge=1)
    conf: Conf = Field(default={}, description="further settings of Spark")

    @model_validator(mode="after")
    def _begins_within_its_bounds(self) -> Self:
        if self.initial_executors and self.max_executors and self.initial_executors > self.max_executors:
            raise ValueError(f"initial_executors {self.initial_executors} is more than max_executors {self.max_executors}")
        return self

    @property
    def archive(self) -> str:
        """The name of the archive that `make dist` makes for it."""
        return f"cluster-py{self.python.replace('.', '')}.zip"


class _Emr(_Runtime, _OnEmr):
    kms_key: Key | None = Field(default=None, description="encrypts the logs; data is encrypted as its bucket says")


class EmrServerless(_Emr):
    """An application of EMR Serverless; `role` is what the job may do."""

    kind: Literal["emr-serverless"]
    application: str = Field(pattern=r"^[0-9a-z]{1,64}$")
    role: Role
    timeout_minutes: int | None = Field(default=None, ge=1)

    @property
    def place(self) -> str:
        return f"EMR Serverless, application {self.application}, Python {self.python}"


class _OnInstances(_Emr):
    @model_validator(mode="after")
    def _has_the_disks_of_its_instances(self) -> Self:
        if any(size and size.disk for size in (self.driver, self.executor)):
            raise ValueError("on EMR on EC2 disks are those of the instances: leave `disk` out")
        return self


class Emr(_OnInstances):
    """A running EMR cluster on EC2, which takes a step. `role`: the step's own, where the cluster allows one."""

    kind: Literal["emr"]
    cluster: str = Field(pattern=r"^j-[0-9A-Z]+$")
    role: Role | None = None

    @property
    def place(self) -> str:
        return f"EMR, cluster {self.cluster}, Python {self.python}"


class Fleet(Model):
    """Instances of the types that EC2 has room for, until there are so many units of them; `types` says how many units one of each is."""

    types: dict[InstanceType, Annotated[int, Field(ge=1)]] = Field(min_length=1, max_length=30)
    on_demand: int = Field(default=0, ge=0)
    spot: int = Field(default=0, ge=0)
    spot_within_minutes: int = Field(default=20, ge=5, le=1440, description="what EC2 has no spot instances for until then is asked for on demand")

    @model_validator(mode="after")
    def _is_of_something(self) -> Self:
        if not self.on_demand + self.spot:
            raise ValueError("a fleet of no units: say how many are `on_demand`, how many `spot`")
        return self


class EmrCluster(_OnInstances):
    """An EMR cluster on EC2 of each run's own: made for it, and ended with it. `role`: the step's own, where the security configuration allows one."""

    kind: Literal["emr-cluster"]
    release: str = Field(default="emr-spark-8.1.0", pattern=r"^emr-(spark-)?\d+\.\d+\.\d+$")
    service_role: str = Field(min_length=1, description="what EMR itself may do")
    instance_profile: str = Field(min_length=1, description="what the instances may do")
    subnets: list[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")]] = Field(min_length=1, description="EMR takes the one that has most room")
    primary: list[InstanceType] = Field(min_length=1, max_length=30, description="one instance of one of these types, on demand")
    core: Fleet
    task: Fleet | None = None
    role: Role | None = None
    security_configuration: str | None = None
    tags: dict[str, str] = {}

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        if self.role and not self.security_configuration:
            raise ValueError("a step has a `role` of its own where a `security_configuration` allows it: name one, or leave `role` out")
        for fleet in filter(None, (self.core, self.task)):
            if fleet.spot and fleet.spot_within_minutes >= self.start_within_minutes:
                raise ValueError(f"spot_within_minutes {fleet.spot_within_minutes} is not less than start_within_minutes {self.start_within_minutes}")
        return self

    @property
    def place(self) -> str:
        return f"EMR, a cluster of its own of {self.release}, Python {self.python}"


class Glue(_Runtime):
    """A job of AWS Glue. Its logs are in CloudWatch, `logs` has the event log; what is encrypted, and how, its `security_configuration` says."""

    kind: Literal["glue"]
    job: str = Field(min_length=1)
    role: Role | None = Field(default=None, description="that of a job which is still to be made")
    version: Literal["5.1", "6.0"] = "6.0"
    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X", "R.1X", "R.2X", "R.4X", "R.8X"] = "G.1X"
    workers: int = Field(default=2, ge=2)
    security_configuration: str | None = None
    timeout_minutes: int | None = Field(default=None, ge=1)
    conf: Annotated[Conf, AfterValidator(_in_one_word)] = Field(default={}, description="further settings of Spark")

    @property
    def python(self) -> Python:
        return "3.13" if self.version == "6.0" else "3.11"

    @property
    def archive(self) -> str:
        return f"cluster-py{self.python.replace('.', '')}.gluewheels.zip"

    @property
    def place(self) -> str:
        return f"Glue {self.version}, job {self.job}, Python {self.python}"


class _Session(_Somewhere):
    start_within_minutes: int = Field(default=10, ge=1, description="a session that is not ready then is an error")
    idle_minutes: int = Field(default=15, ge=1, description="a session that nobody used for so long ends; until then the next run finds it")


class EmrServerlessSession(_Session, _OnEmr):
    """A session of an application of EMR Serverless of which `interactiveConfiguration` allows sessions; `role` is what it may do."""

    kind: Literal["emr-serverless"]
    application: str = Field(pattern=r"^[0-9a-z]{1,64}$")
    role: Role

    @property
    def place(self) -> str:
        return f"a session of EMR Serverless, application {self.application}, Python {self.python}"


class GlueSession(_Session):
    """An interactive session of AWS Glue; `role` is what it may do."""

    kind: Literal["glue"]
    role: Role
    version: Literal["6.0"] = "6.0"
    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] = "G.1X"
    workers: int = Field(default=2, ge=2)
    security_configuration: str | None = None
    conf: Annotated[Conf, AfterValidator(_in_one_word)] = Field(default={}, description="further settings of Spark")

    @property
    def python(self) -> Python:
        return "3.13"

    @property
    def archive(self) -> str:
        return "cluster-py313.gluewheels.zip"

    @property
    def place(self) -> str:
        return f"an interactive session of Glue {self.version}, Python {self.python}"


SessionTarget = EmrServerlessSession | GlueSession
SparkService = Annotated[SessionTarget, Field(discriminator="kind")]
Target = EmrServerless | Emr | EmrCluster | Glue
Runtime = Annotated[Target, Field(discriminator="kind")]
RUNTIMES: TypeAdapter[Target] = TypeAdapter(Runtime)
_PLACES = {"emr-serverless": "application", "emr": "cluster", "glue": "job"}


def named(text: str, declared: Target | None) -> Target | None:
    """The target that `kind:place` names, with what the environment's runtime says of its kind; None for text that names none of these services.

    Raises ArgumentError for a place that the service could not have, or where more must be known of it.
    """
    kind, colon, place = text.partition(":")
    if kind not in _PLACES or not colon:
        return None
    known = declared.model_dump(exclude_unset=True) if declared and declared.kind == kind else {}
    try:
        return RUNTIMES.validate_python({**known, "kind": kind, _PLACES[kind]: place})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
        raise ArgumentError(f"--runtime {text!r}: {wrong}", hint=f"say the rest under the environment's `runtime: {{kind: {kind}, …}}`") from None
