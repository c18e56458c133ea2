"""Penstock: lakehouse pipelines on AWS, declared once. The models of the pipeline language are the Python API too."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.errors import PenstockError as PenstockError
    from penstock.pipeline import (
        CallStep as CallStep,
    )
    from penstock.pipeline import (
        Copy as Copy,
    )
    from penstock.pipeline import (
        CopyStep as CopyStep,
    )
    from penstock.pipeline import (
        Environment as Environment,
    )
    from penstock.pipeline import (
        ExternalStep as ExternalStep,
    )
    from penstock.pipeline import (
        Gate as Gate,
    )
    from penstock.pipeline import (
        MaintainStep as MaintainStep,
    )
    from penstock.pipeline import (
        Maintenance as Maintenance,
    )
    from penstock.pipeline import (
        Merge as Merge,
    )
    from penstock.pipeline import (
        MergeStep as MergeStep,
    )
    from penstock.pipeline import (
        Pipeline as Pipeline,
    )
    from penstock.pipeline import (
        Read as Read,
    )
    from penstock.pipeline import (
        ReadStep as ReadStep,
    )
    from penstock.pipeline import (
        Reconcile as Reconcile,
    )
    from penstock.pipeline import (
        ReconcileStep as ReconcileStep,
    )
    from penstock.pipeline import (
        SqlStep as SqlStep,
    )
    from penstock.pipeline import (
        Table as Table,
    )
    from penstock.pipeline import (
        Transform as Transform,
    )
    from penstock.pipeline import (
        TransformStep as TransformStep,
    )
    from penstock.pipeline import (
        UnloadStep as UnloadStep,
    )
    from penstock.redshift_steps import (
        Call as Call,
    )
    from penstock.redshift_steps import (
        External as External,
    )
    from penstock.redshift_steps import (
        Unload as Unload,
    )

_MODELS = ("Call", "Copy", "Environment", "External", "Gate", "Maintenance", "Merge", "Pipeline", "Read", "Reconcile", "Table", "Transform", "Unload")
_STEPS = ("CallStep", "CopyStep", "ExternalStep", "MaintainStep", "MergeStep", "ReadStep", "ReconcileStep", "SqlStep", "TransformStep", "UnloadStep")
__all__ = ["PenstockError", *_MODELS, *_STEPS]


def __getattr__(name: str) -> Any:
    """Names are loaded when they are used, so that `import penstock` costs nothing."""
    if name == "PenstockError":
        return import_module("penstock.errors").PenstockError
    if name in __all__:
        return getattr(import_module("penstock.pipeline"), name)
    raise AttributeError(f"module 'penstock' has no attribute {name!r}")
