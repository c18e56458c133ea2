"""The process of the local AWS: `python -m penstock.infra.local HOME PORT REDSHIFT_PORT`. Started by `penstock local up`, ended by SIGTERM."""

from __future__ import annotations

import json
import os
import secrets as tokens
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .control import HOME, LocalAws
from .errors import LocalAwsError
from .postgres import Postgres
from .spark_jobs import SparkJobs

SERVER, CLEAN, STATE = "server.json", "clean.json", "state"


def _client(service: str, endpoint: str) -> Any:
    import boto3
    from botocore.config import Config

    make: Any = boto3.client
    return make(
        service, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )  # fmt: skip


class Server:
    """S3, Glue, Secrets Manager, Redshift, and the jobs of EMR Serverless, EMR and Glue, of one home folder."""

    def __init__(self, home: Path) -> None:
        self.home, self.generation = home, tokens.token_hex(8)
        self.postgres = Postgres(home)
        self._local = threading.local()
        self.endpoint = ""
        self._installers: dict[str, list[Callable[[], None]]] = {}
        self.jobs = SparkJobs(home, self._s3, self._environment)

    def start(self, port: int, redshift_port: int = 0) -> None:
        """All parts up, with the state of the last clean end; after any other end all state is gone, which is said."""
        _many_files()
        self._consistent()
        with ThreadPoolExecutor(1) as beside:
            database = beside.submit(self._database)
            self._serve(port)
            database.result()
        self._install(redshift_port)

    def _database(self) -> None:
        """PostgreSQL up, with a database that has what Redshift has: it takes as long as all that is imported meanwhile."""
        from .redshift.server import DATABASE, prepared

        self.postgres.start()
        self.postgres.prepare(DATABASE, prepared)

    def _serve(self, port: int) -> None:
        from .aws import serve

        os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", str(1024 * 1024))
        try:
            server = serve(port, self.status, self._first)
        except (OSError, SystemExit) as error:
            raise LocalAwsError(f"port {port} of 127.0.0.1 is taken", "choose another with --port, or leave it out for a free one") from error
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        os.environ["MOTO_PORT"] = str(server.server_port)

    def _install(self, redshift_port: int) -> None:
        """All that answers, and the state of the last clean end."""
        from .emr import Emr
        from .emr_clusters import EmrClusters
        from .emr_serverless import EmrServerless
        from .glue_jobs import GlueJobs
        from .redshift import clusters
        from .redshift.data_api import DataApi, install
        from .redshift.server import Redshift
        from .saved import restore
        from .spark_sessions import EmrServerlessSessions, GlueSessions

        self.redshift = Redshift(self.home, self.postgres, self._s3, self._glue)
        try:
            self.redshift.start(redshift_port)
        except OSError as error:
            raise LocalAwsError(f"port {redshift_port} of 127.0.0.1 is taken", "choose another with --redshift-port, or leave it out for a free one") from error
        self._installers["redshiftdata"] = [lambda: install(DataApi(self.redshift))]
        self._installers["redshift"] = [clusters.install]
        apis: dict[str, tuple[Callable[..., Any], ...]] = {
            "emr": (Emr, EmrClusters),
            "emrserverless": (EmrServerless, EmrServerlessSessions),
            "glue": (GlueJobs, GlueSessions),
        }
        for service, ours in apis.items():
            self._installers[service] = [api(self.jobs, lambda s: _client(s, self.endpoint)).install for api in ours]
        restore(self.home / "saved", *(_client(s, self.endpoint) for s in ("s3", "glue", "secretsmanager")))
        (self.home / CLEAN).unlink(missing_ok=True)
        (self.home / STATE).mkdir(exist_ok=True)
        (self.home / SERVER).write_text(
            json.dumps({"pid": os.getpid(), "endpoint_url": self.endpoint, "redshift_port": self.redshift.port, "generation": self.generation})
        )

    def _first(self, service: str) -> None:
        """Put our answers in the place of moto's when a service is asked first: EMR's alone take a second to import."""
        for install in self._installers.get(service, ()):
            install()

    def _consistent(self) -> None:
        """Keep the state only when every part of it was written by the same clean end."""
        from .redshift.functions import version

        clean = json.loads((self.home / CLEAN).read_text()) if (self.home / CLEAN).exists() else {}
        kept = clean.get("scripts") == version() and (self.postgres.data / "PG_VERSION").exists()
        had = (self.home / "saved").exists() or self.postgres.data.exists() or (self.home / STATE).exists()
        if kept:
            return
        if had:
            why = "is another version's" if clean else "was not ended cleanly"
            print(f"the local AWS {why}: its S3, Glue, Redshift and state store begin anew, empty", flush=True)  # noqa: T201
        shutil.rmtree(self.home / "saved", ignore_errors=True)
        shutil.rmtree(self.home / STATE, ignore_errors=True)
        shutil.rmtree(self.home / "redshift", ignore_errors=True)
        self.postgres.wipe()

    def _s3(self) -> Any:
        return self._of_this_thread("s3")

    def _glue(self) -> Any:
        return self._of_this_thread("glue")

    def _of_this_thread(self, service: str) -> Any:
        if not hasattr(self._local, service):
            setattr(self._local, service, _client(service, self.endpoint))
        return getattr(self._local, service)

    def _environment(self) -> dict[str, str]:
        """That of a job: it speaks to this server, and finds it up."""
        return LocalAws(self.home, self.endpoint, self.redshift.port, os.getpid(), self.generation).environment() | {HOME: str(self.home)}

    def status(self) -> dict[str, Any]:
        return {"generation": self.generation, "pid": os.getpid(), "postgres": self.postgres.is_running}

    def stop(self) -> None:
        """Write the state and end; only then is the home marked clean."""
        from .saved import save

        self.jobs.stop()
        self.redshift.stop()
        save(self.home / "saved", *(_client(s, self.endpoint) for s in ("s3", "glue", "secretsmanager")))
        self.postgres.stop()
        from .redshift.functions import version

        (self.home / CLEAN).write_text(json.dumps({"generation": self.generation, "scripts": version()}))
        (self.home / SERVER).unlink(missing_ok=True)


def _many_files() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> int:
    home, port, redshift_port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server = Server(home)
    try:
        server.start(port, redshift_port)
    except LocalAwsError as error:
        server.postgres.stop()
        print(json.dumps({"error": str(error), "hint": error.hint}), flush=True)  # noqa: T201
        return 1
    ended.wait()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
