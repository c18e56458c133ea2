"""Penstock: lakehouse pipelines on AWS, declared once. The models of the pipeline language are the Python API too."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.errors import PenstockError as PenstockError
    from penstock.pipeline import (
        Call as Call,
        CallStep as CallStep,
        Copy as Copy,
        CopyStep as CopyStep,
        Environment as Environment,
        Gate as Gate,
        Merge as Merge,
        MergeStep as MergeStep,
        Pipeline as Pipeline,
        Read as Read,
        ReadStep as ReadStep,
        Reconcile as Reconcile,
        ReconcileStep as ReconcileStep,
        Table as Table,
        Transform as Transform,
        TransformStep as TransformStep,
        Unload as Unload,
        UnloadStep as UnloadStep,
    )

_MODELS = ("Call", "Copy", "Environment", "Gate", "Merge", "Pipeline", "Read", "Reconcile", "Table", "Transform", "Unload")
_STEPS = ("CallStep", "CopyStep", "MergeStep", "ReadStep", "ReconcileStep", "TransformStep", "UnloadStep")
__all__ = ["PenstockError", *_MODELS, *_STEPS]


def __getattr__(name: str) -> Any:
    """Names are loaded when they are used, so that `import penstock` costs nothing."""
    if name == "PenstockError":
        return import_module("penstock.errors").PenstockError
    if name in __all__:
        return getattr(import_module("penstock.pipeline"), name)
    raise AttributeError(f"module 'penstock' has no attribute {name!r}")
