"""Where data lies: the connections of a pipeline file. Never a secret: a connection names where the secret is kept."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Model(BaseModel):
    """Every part of a pipeline file: immutable, and no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class S3Connection(Model):
    """A bucket, or a prefix in one."""

    kind: Literal["s3"]
    bucket: str = Field(min_length=3)
    prefix: str = ""
    region: str | None = None


class FilesConnection(Model):
    """A folder of this machine; a relative `path` starts at the pipeline file's folder."""

    kind: Literal["files"]
    path: str = Field(min_length=1)


class CatalogConnection(Model):
    """A catalog of lake tables: AWS Glue, or SQLite in a file.

    `warehouse` is where tables lie: `s3://bucket/prefix`, or a folder (relative to the pipeline file) for SQLite.
    """

    kind: Literal["catalog"]
    catalog: Literal["glue", "sqlite"]
    warehouse: str = Field(min_length=1)
    region: str | None = None

    @model_validator(mode="after")
    def _glue_lies_on_s3(self) -> Self:
        if self.catalog == "glue" and not self.warehouse.startswith("s3://"):
            raise ValueError(f"a Glue catalog's warehouse is an s3:// location, not {self.warehouse!r}")
        return self


class RedshiftConnection(Model):
    """Redshift, a Serverless `workgroup` or a provisioned `cluster`, by its Data API or by the wire.

    `iam_role` is what COPY and UNLOAD use; `secret` is the name or ARN in Secrets Manager of the user that statements run as
    (without it, temporary credentials of the caller).
    """

    kind: Literal["redshift"]
    workgroup: str | None = None
    cluster: str | None = None
    database: str = "dev"
    iam_role: str = "default"
    secret: str | None = None
    region: str | None = None
    client: Literal["data-api", "redshift-connector"] = Field(default="data-api", description="how statements are sent: by AWS's API, or by the wire")
    host: str | None = Field(default=None, description="with `client: redshift-connector`: the endpoint's address")
    port: int = Field(default=5439, ge=1, le=65535)
    resume: bool = Field(default=False, description="have a run resume a cluster that is paused; without it such a run fails, and may be tried again")

    @model_validator(mode="after")
    def _one_endpoint(self) -> Self:
        if (self.workgroup is None) == (self.cluster is None):
            raise ValueError("give one of workgroup (Serverless) and cluster (provisioned)")
        if self.host and self.client == "data-api":
            raise ValueError("the Data API has no host; host goes with client: redshift-connector")
        if self.resume and self.workgroup:
            raise ValueError("Redshift Serverless wakes by itself; resume goes with cluster")
        return self


Connection = Annotated[S3Connection | FilesConnection | CatalogConnection | RedshiftConnection, Field(discriminator="kind")]
