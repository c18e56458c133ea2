"""A provisioned cluster as AWS tells of it: one that is paused, resuming or rebooting takes no statements, and comes back."""

from __future__ import annotations

import logging
import time
from functools import cached_property
from typing import Any

from penstock.config import AwsSettings
from penstock.connections import RedshiftConnection
from penstock.errors import ConnectionFailedError, WarehouseBusyError, WarehouseError

_COMES_BACK = frozenset({"cancelling-resize", "creating", "modifying", "pausing", "rebooting", "renaming", "resizing", "restoring", "resuming", "updating-hsm"})
_LONGEST_S, _LONGEST_PAUSE_S = 1800.0, 15.0


class Cluster:
    """The cluster of a connection; of Redshift Serverless, which sleeps and wakes by itself, it knows nothing."""

    def __init__(self, connection: RedshiftConnection, aws: AwsSettings) -> None:
        self._connection, self._aws = connection, aws.at(connection.region)

    def is_back(self) -> bool:
        """Whether a cluster that was away takes statements now, after a wait of half an hour at most; False for one that was there.

        To be asked when it is known that a statement did not arrive. Raises WarehouseBusyError for a cluster that is paused (and that the connection does not
        say to resume) or that stays away, WarehouseError for one in a state that does not pass.
        """
        until, pause, was_away = time.monotonic() + _LONGEST_S, 1.0, False
        while (status := self.status()) and not status.startswith("available"):
            if status == "paused":
                self._resume()
            elif status not in _COMES_BACK:
                raise WarehouseError(f"cluster {self._name} is {status}", hint="see what AWS says of the cluster, then run again")
            if time.monotonic() > until:
                raise WarehouseBusyError(f"cluster {self._name} is {status} still, after {_LONGEST_S / 60:.0f} minutes", hint="run again later")
            if not was_away:
                logging.getLogger(__name__).warning("cluster %s is %s: waiting for it", self._name, status)
            was_away = True
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)
        return was_away

    def status(self) -> str:
        """Redshift's word for the cluster's state; empty where there is none, or nobody may ask."""
        from botocore.exceptions import BotoCoreError, ClientError

        if not self._connection.cluster:
            return ""
        try:
            found = self._client.describe_clusters(ClusterIdentifier=self._name)["Clusters"]
        except (BotoCoreError, ClientError):
            return ""  # the refusal that had this asked is told instead
        return str(found[0]["ClusterStatus"]) if found else ""

    def _resume(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        if not self._connection.resume:
            how = f"aws redshift resume-cluster --cluster-identifier {self._name}"
            raise WarehouseBusyError(f"cluster {self._name} is paused", hint=f"`{how}`, or have a run do so: `resume: true` on the connection")
        try:
            self._client.resume_cluster(ClusterIdentifier=self._name)
        except (BotoCoreError, ClientError) as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") not in ("InvalidClusterState", "InvalidClusterStateFault"):
                raise ConnectionFailedError(f"cluster {self._name} is paused and cannot be resumed: {error}") from error

    @property
    def _name(self) -> str:
        return str(self._connection.cluster)

    @cached_property
    def _client(self) -> Any:
        from penstock.connectors.s3.access import client

        return client("redshift", self._aws)
