"""Provisioned clusters as moto keeps them, in the states that AWS gives: one that was resumed takes a moment to be there, and until then no statement."""

from __future__ import annotations

import threading
from typing import Any

RESUMING_S = 2.0


def install() -> None:
    """moto's clusters are there as soon as they are resumed."""
    from moto.redshift.models import Cluster

    def resume(self: Any) -> None:
        self.status = "resuming"
        timer = threading.Timer(RESUMING_S, lambda: setattr(self, "status", "available"))
        timer.daemon = True
        timer.start()

    Cluster.resume = resume


def away(account: str, region: str, name: str | None) -> str | None:
    """The state of a cluster that takes no statements; None for one that does, and for one that nobody made: every name is the same warehouse."""
    if name is None:
        return None
    from moto.redshift.models import redshift_backends

    found = redshift_backends[account][region].clusters.get(name)
    return None if found is None or found.status == "available" else str(found.status)
