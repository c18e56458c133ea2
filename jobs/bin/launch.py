"""The entry file for spark-submit, EMR and Glue, which want a file: `launch.py PIPELINE [--env prod] [--select step+] [--param name=value]`.

PIPELINE may be the manifest of a deployed version, `s3://…/manifest.json`; before it may stand `--region eu-central-1`, that of all AWS clients.
On Glue all of it stands in one job parameter, as a JSON list.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from penstock.cli import main
from penstock.cli.deployed import local_folder
from penstock.config import AwsSettings
from penstock.engines.spark.connecting import begin
from penstock.runtimes import HERE
from penstock.runtimes.glue import ARGUMENTS as GLUE_PARAMETER

_OF_YARN = "CONTAINER_ID"


def arguments(argv: Sequence[str]) -> list[str]:
    """Those of `penstock run`; on Glue, whose scripts get the service's own parameters too, what the parameter of ours holds."""
    return list(json.loads(argv[argv.index(GLUE_PARAMETER) + 1])) if GLUE_PARAMETER in argv else list(argv)


def launch(argv: Sequence[str]) -> None:
    """Run the pipeline; one that was deployed is fetched first. In YARN's cluster mode a driver is given up that has no application after 100 s, or never."""
    given = arguments(argv)
    if given[:1] == ["--region"]:
        os.environ["AWS_REGION"] = given[1]
        given = given[2:]
    if _OF_YARN in os.environ:
        begin(AwsSettings.from_environment())
    with local_folder(given[0]) if given and given[0].endswith("/manifest.json") else nullcontext() as folder:
        here = [] if any(word.startswith("--runtime") for word in given) else ["--runtime", HERE]
        sys.argv[1:] = ["run", *([str(folder), *given[1:]] if folder else given), *here]
        main()


if __name__ == "__main__":
    launch(sys.argv[1:])
