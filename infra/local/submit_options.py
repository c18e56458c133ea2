"""`spark-submit`'s own options, as EMR's steps and EMR Serverless's jobs are given them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_ALONE = frozenset({"--verbose", "-v", "--supervise"})
# sizes and places of a cluster, the platforms' own settings, and what the job's folder does already
_OF_CLUSTERS = re.compile(
    r"spark\.(archives|master|submit\..*|yarn\..*|emr-serverless\..*|executor(Env)?\..*|driver\.(cores|memory)|dynamicAllocation\..*|eventLog\..*|pyspark\..*)"
)
_DRIVER = re.compile(r"spark\.(?:yarn\.appMasterEnv|emr-serverless\.driverEnv)\.(.+)")
_INTERPRETERS = frozenset({"PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"})


@dataclass(frozen=True)
class Submit:
    """`conf` holds all settings, those of options too; `rest` is the script and its arguments."""

    conf: Mapping[str, str]
    rest: tuple[str, ...]

    def listed(self, setting: str) -> tuple[str, ...]:
        return tuple(part for part in self.conf.get(setting, "").split(",") if part)

    def of_spark(self) -> dict[str, str]:
        """The settings that mean on one machine what they mean on a cluster."""
        return {key: value for key, value in self.conf.items() if not _OF_CLUSTERS.fullmatch(key)}

    def driver_environment(self) -> dict[str, str]:
        """The driver's variables, without the platform's interpreters, which are not here."""
        found = ((m[1], value) for key, value in self.conf.items() if (m := _DRIVER.fullmatch(key)))
        return {name: value for name, value in found if name not in _INTERPRETERS}


_NAMES = {"--py-files": "spark.submit.pyFiles", "--archives": "spark.archives"}


def parsed(words: Sequence[str]) -> Submit:
    """The options before the first word that is none."""
    rest = iter(words)
    conf = dict(_settings(rest))
    script = conf.pop("", None)
    return Submit(conf, (*((script,) if script else ()), *rest))


def _settings(words: Iterator[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        if word in _ALONE:
            continue
        if not word.startswith("-"):
            yield "", word
            return
        value = next(words, "")
        if word in ("--conf", "-c"):
            key, _, setting = value.partition("=")
            yield key, setting
        elif word in _NAMES:
            yield _NAMES[word], value
