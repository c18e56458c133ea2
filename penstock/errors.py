"""Every error that Penstock raises on purpose.

One root, `PenstockError`; each class is also a builtin, carries attributes, and says whether trying again can help
(`Retryable`) or not (`Terminal`). A message says what was received, what is allowed and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

_LISTED = 60


class PenstockError(Exception):
    """The root. `exit_code` is what the command line returns for it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.hint}" if self.hint else self.message


class Retryable(PenstockError):
    """The same call may succeed later: throttling, a lost connection, a lost race."""


class Terminal(PenstockError):
    """The same call will fail again until a person changes something."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a user's file: where it stands, what was read, what is allowed."""

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return ": ".join(part for part in (where, self.path, self.message) if part)


class PipelineFileError(Terminal, ValueError):
    """A pipeline file, or a file beside it, is wrong. Holds every problem found, not the first."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{count} in the pipeline:", *(f"  {p}" for p in self.problems)]))


class ArgumentError(Terminal, ValueError):
    """An argument of a command or of a public function is wrong."""

    exit_code = 2


class NotSupportedError(Terminal, NotImplementedError):
    """Asked for by a right name, but not there: `what` is refused rather than done wrongly."""

    exit_code = 2

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        self.what = what
        super().__init__(f"{what} is not supported", hint=hint)


class MissingExtraError(Terminal, ImportError):
    """A part of Penstock needs a package that is not installed."""

    exit_code = 2

    def __init__(self, package: str, extra: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"the package {package!r} is not installed", hint=f"pip install 'penstock[{extra}]'")


class ConnectionFailedError(Retryable, ConnectionError):
    """A server, a bucket or a database of a declared connection could not be reached."""


class LocalAwsFailedError(Terminal, RuntimeError):
    """The local AWS cannot be started, stopped or reached."""


class SourceError(Terminal, OSError):
    """An input object is missing, changed after its batch was cut, or cannot be decoded."""


class SourceChangedError(SourceError):
    """An object is no longer what the batch's manifest names."""


class BrokenFileError(SourceError):
    """An input object, whole as its batch names it, cannot be read as what its step says it is."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            hint="deliver it again, or correct the declared columns, and `penstock batch retry`; or let such files aside (`bad_files: quarantine` on the "
            "read step); or `penstock batch skip` the batch, of which nothing was applied",
        )


class DataError(Terminal, ValueError):
    """Rows contradict what is declared, and no quarantine may take them."""


class TransformError(Terminal, RuntimeError):
    """A user's SQL or Python failed; the engine's own error is the cause."""


class WarehouseError(Terminal, RuntimeError):
    """Redshift refused or failed a statement; its own message and the statement are in the text."""


class WarehouseBusyError(WarehouseError, Retryable):
    """Redshift could not do it now: a serializable conflict, a queue that is full."""


class StepFailedError(Terminal, RuntimeError):
    """A step failed in a way that no check foresaw: a full disk, a library's own error. The cause is kept, and told in one line."""


class CommitConflictError(Retryable, RuntimeError):
    """Another writer published first. Nothing of ours is visible; plan again over what changed."""


class ExecutorLostError(Retryable, RuntimeError):
    """Spark lost rows of a batch together with the executor that held them. Nothing of ours is visible; the batch is done anew."""


class TooHeavyError(Retryable, RuntimeError):
    """A batch that the driver had begun alone needs more of its table than one machine should read. Nothing of ours is visible; the cluster does it anew."""


class CommitUnknownError(Retryable, RuntimeError):
    """The answer to a commit was lost and reading the target could not settle it. Nothing may be deleted or sent again."""


class DeploymentError(Terminal, RuntimeError):
    """A deployed version is not there, lacks a file, or is no longer what it was."""


class JobRefusedError(Terminal, RuntimeError):
    """A service that runs jobs refused a request; its own message is in the text."""


class LedgerError(Terminal, RuntimeError):
    """The target's ledger and the state store contradict each other."""


class GateStoppedError(Terminal, RuntimeError):
    """A gate kept a batch from its readers."""

    exit_code = 3


class ConservationError(Terminal, RuntimeError):
    """Events read and events accounted for differ: a defect, never a warning."""


class RunLockedError(Retryable, RuntimeError):
    """Another run of the same pipeline is at work."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """`; did you mean 'x'?` when an allowed word is near, else nothing."""
    found = get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def some(names: Iterable[str]) -> str:
    """Names in a row; of very many the first ones, and how many more there are."""
    found = list(names)
    return ", ".join(found[:_LISTED]) + (f", … and {len(found) - _LISTED:,} more" if len(found) > _LISTED else "")


def choice(word: str, allowed: Iterable[str]) -> str:
    """`'xx' is not one of a, b; did you mean 'a'?`: the standard form for a wrong name."""
    names = sorted(allowed)
    return f"{word!r} is not one of {some(names) or '(there is none)'}{nearest(word, names)}"
