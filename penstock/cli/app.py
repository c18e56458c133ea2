"""The verbs and their arguments. Each verb's work lies in its own module, imported when it is called: `penstock --help` stays quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="penstock",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Lakehouse pipelines on AWS, declared once.",
)
batch_app = typer.Typer(no_args_is_help=True, help="Look at batches, and unblock one that stopped.")
local_app = typer.Typer(no_args_is_help=True, help="The AWS of this machine: S3, Glue, Secrets Manager and a Redshift that executes.")
app.add_typer(batch_app, name="batch")
app.add_typer(local_app, name="local")

PipelineArg = Annotated[Path, typer.Argument(metavar="PIPELINE", help="a pipeline file, or the folder of one")]
Env = Annotated[str | None, typer.Option("--env", help="an environment of the file; `local` when it has one of that name")]
Param = Annotated[list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="a declared parameter; may be repeated")]
PipelineOption = Annotated[Path | None, typer.Option("--pipeline", "-p", help="by default the pipeline of this folder, or the only one in dags/pipelines")]
TableArg = Annotated[str, typer.Argument(metavar="TABLE", help="a lake table by its name in the pipeline: lake.ops.flights")]
StepArg = Annotated[str, typer.Argument(metavar="STEP")]


@app.command()
def run(
    pipeline: PipelineArg,
    env: Env = None,
    select: Annotated[str | None, typer.Option(help="a step; `step+` with what follows it, `+step` with what it needs")] = None,
    full_refresh: Annotated[bool, typer.Option("--full-refresh", help="forget what the selected steps did, and make their tables anew")] = False,
    backfill: Annotated[bool, typer.Option("--backfill", help="take events that are later than a merge's retention allows")] = False,
    runtime: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE", help="in place of the environment's: here, local[2], spark://host:port, emr-serverless:APPLICATION, emr:CLUSTER, glue:JOB"
        ),
    ] = None,
    param: Param = None,
    data_interval: Annotated[
        str | None,
        typer.Option("--data-interval", metavar="START/END", help="what a scheduler says that this run is for: `:data_interval_start` and `_end` in SQL"),
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", metavar="ID", help="what the run is called, 20260101T120000-0a1b2c; by default by its time")] = None,
    log: Annotated[Literal["text", "json"], typer.Option(help="json: one object a line")] = "text",
) -> None:
    """Run a pipeline: cut what is new into batches, and apply what each target lacks."""
    from penstock.cli.run import RunOptions, run_command

    given = RunOptions(select, full_refresh, backfill, runtime, data_interval, run_id)
    raise typer.Exit(run_command(pipeline, env, param or [], given, as_json=log == "json"))


@app.command()
def plan(
    pipeline: PipelineArg,
    env: Env = None,
    param: Param = None,
    compare: Annotated[bool, typer.Option("--compare", help="besides ask where the tables lie, and show what a run changes of their columns")] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Check everything that can be known without running, and show the graph of steps."""
    from penstock.cli.plan import compare_command, plan_command

    raise typer.Exit((compare_command if compare else plan_command)(pipeline, env, param or [], as_json=as_json))


@app.command()
def lint(
    path: Annotated[Path, typer.Argument(metavar="PIPELINE|FILE.sql", help="a pipeline, for the SQL that it has for Redshift, or one file of SQL")],
    env: Env = None,
) -> None:
    """Look at SQL for Redshift before it runs: what Redshift lacks, means otherwise, or pays dearly for. Exit code 1 for errors."""
    from penstock.cli.lint import lint_command

    raise typer.Exit(lint_command(path, env))


@app.command()
def deploy(
    pipeline: Annotated[Path | None, typer.Argument(metavar="[PIPELINE]", help="by default that of this folder, or the only one in dags/pipelines")] = None,
    env: Env = None,
    to: Annotated[str | None, typer.Option("--to", metavar="VERSION", help="make a version that is there current again")] = None,
    show: Annotated[bool, typer.Option("--list", help="show the versions that are there")] = False,
    dist: Annotated[Path, typer.Option(help="the folder that `make dist` filled")] = Path("dist"),
    as_json: Annotated[bool, typer.Option("--json", help="with --list: one object a version")] = False,
) -> None:
    """Put a version of the pipeline, and of the Penstock that runs it, where its environment's runtime finds it."""
    from penstock.cli.deploy import deploy_command, deploy_to_command, list_command
    from penstock.cli.query import find_pipeline

    found = find_pipeline(pipeline)
    if show:
        list_command(found, env, as_json=as_json)
    elif to:
        deploy_to_command(found, env, to)
    else:
        deploy_command(found, env, dist)


@app.command()
def state(pipeline: PipelineArg, env: Env = None, param: Param = None, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Batches cut, applied and waiting, for each target."""
    from penstock.cli.state import state_command

    state_command(pipeline, env, param or [], as_json=as_json)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="tables by their names in the pipeline: lake.ops.flights")],
    pipeline: PipelineOption = None,
    env: Env = None,
    connection: Annotated[str | None, typer.Option(help="ask this Redshift connection instead of the lake")] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="WHEN", help="lake tables as they were: a time (2026-01-31, 2026-01-31T12:00Z) or a snapshot or version")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one object a row")] = False,
    as_csv: Annotated[bool, typer.Option("--csv")] = False,
) -> None:
    """Ask the lake's tables, or Redshift."""
    from penstock.cli.query import query_command

    query_command(sql, pipeline, env, connection, as_of=as_of, form="json" if as_json else "csv" if as_csv else "table")


@app.command()
def history(
    table: TableArg,
    pipeline: PipelineOption = None,
    env: Env = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """The states that a lake table had: when, by which run, and the batch that each brought."""
    from penstock.cli.history import history_command

    history_command(table, pipeline, env, as_json=as_json)


@app.command()
def rollback(
    table: TableArg,
    to: Annotated[int, typer.Option("--to", metavar="BATCH", help="the batch after which the table is to stand as it did")],
    then: Annotated[Literal["replay", "skip"], typer.Option(help="replay: the later batches are cut again and wait; skip: they count as done")],
    pipeline: PipelineOption = None,
    env: Env = None,
) -> None:
    """Bring a lake table and its memory back to what they were after a batch."""
    from penstock.cli.history import rollback_command

    rollback_command(table, pipeline, env, to=to, then=then)


@app.command()
def adopt(table: TableArg, pipeline: PipelineOption = None, env: Env = None) -> None:
    """Take over a lake table that others made, with the rows that it has."""
    from penstock.cli.adopt import adopt_command

    adopt_command(table, pipeline, env)


@app.command()
def erase(
    table: TableArg,
    keys: Annotated[Path, typer.Option(help="a CSV or JSON-lines file with the key columns of the rows to be removed")],
    pipeline: PipelineOption = None,
    env: Env = None,
    as_json: Annotated[bool, typer.Option("--json", help="the proof as one object")] = False,
) -> None:
    """Remove rows from everywhere: the table's files and those of its past, its memory, its quarantine, the files it was made of."""
    from penstock.cli.erase import erase_command

    raise typer.Exit(erase_command(table, keys, pipeline, env, as_json=as_json))


@app.command()
def maintain(
    tables: Annotated[list[str] | None, typer.Argument(metavar="[TABLE]...", help="lake tables by their names in the pipeline, or --all")] = None,
    every: Annotated[bool, typer.Option("--all", help="every lake table of the pipeline, the greatest benefit first")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="so many tables at a time")] = 2,
    pipeline: PipelineOption = None,
    env: Env = None,
    max_bytes: Annotated[int | None, typer.Option(help="write at most so many bytes anew, the most useful first")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be gained, and do nothing")] = False,
) -> None:
    """Compact small files and those with many deleted rows, expire old states, remove files that no state needs."""
    from penstock.cli.maintain import maintain_command

    maintain_command(tables or [], pipeline, env, every=every, jobs=jobs, max_bytes=max_bytes, dry_run=dry_run)


@app.command()
def schema() -> None:
    """Print the JSON Schema of pipeline files, for editors."""
    from penstock.cli.schema import schema_command

    schema_command()


@app.command()
def init(name: Annotated[str, typer.Argument(metavar="NAME", help="the new pipeline, and the folder that is made for it")]) -> None:
    """Make a small pipeline over a CSV file that runs as it is."""
    from penstock.cli.init import init_command

    init_command(name)


@app.command()
def doctor() -> None:
    """Say what is installed, what is missing, what it would be for, and how to get it."""
    from penstock.cli.doctor import doctor_command

    raise typer.Exit(doctor_command())


@batch_app.command("ls")
def batch_ls(pipeline: PipelineArg, env: Env = None, step: Annotated[str | None, typer.Option(help="only this step's")] = None) -> None:
    """The batches of each step, and which targets have them."""
    from penstock.cli.batch import ls_command

    ls_command(pipeline, env, step)


@batch_app.command("show")
def batch_show(pipeline: PipelineArg, step: StepArg, number: int, env: Env = None) -> None:
    """What one batch reads, who has applied it, and what was said of it."""
    from penstock.cli.batch import show_command

    show_command(pipeline, env, step, number)


@batch_app.command("retry")
def batch_retry(pipeline: PipelineArg, step: StepArg, number: int, env: Env = None) -> None:
    """Cut a waiting batch again from its files as they are now."""
    from penstock.cli.batch import retry_command

    retry_command(pipeline, env, step, number)


@batch_app.command("skip")
def batch_skip(pipeline: PipelineArg, step: StepArg, number: int, env: Env = None) -> None:
    """Commit the next waiting batch as skipped: nothing of it is applied."""
    from penstock.cli.batch import skip_command

    skip_command(pipeline, env, step, number)


@local_app.command("up")
def local_up(
    port: Annotated[int, typer.Option(help="of the AWS endpoint; 0: any free port")] = 0,
    redshift_port: Annotated[int, typer.Option(help="of Redshift's wire protocol; 0: 5439 where that is free, else any free port")] = 0,
) -> None:
    """Start it, detached; does nothing when it is up."""
    from penstock.cli.local import up_command

    up_command(port, redshift_port)


@local_app.command("down")
def local_down() -> None:
    """Stop it; its state stays."""
    from penstock.cli.local import down_command

    down_command()


@local_app.command("reset")
def local_reset() -> None:
    """Stop it, and forget all of its state: S3's objects, Glue's tables, Redshift's data, the state of runs."""
    from penstock.cli.local import reset_command

    reset_command()


@local_app.command("shell")
def local_shell(command: Annotated[str | None, typer.Option("--command", "-c", help="run this and end")] = None) -> None:
    """Redshift's SQL, statement by statement: typed, or from the standard input."""
    from penstock.cli.local import shell_command

    raise typer.Exit(shell_command(command))


@local_app.command("fault")
def local_fault(
    service: Annotated[str, typer.Argument(help="s3, glue, redshift-data, secretsmanager, …; `clear` takes back all faults")],
    status: Annotated[int, typer.Argument(help="the HTTP status to answer with")] = 503,
    times: Annotated[int, typer.Option(help="how many requests fail")] = 1,
    operation: Annotated[str, typer.Option(help="a pattern of the operation: GetTable, or method and path for S3")] = ".",
    code: Annotated[str, typer.Option(help="the error's name")] = "SlowDown",
    after: Annotated[bool, typer.Option("--after", help="carry the request out, and lose the answer")] = False,
) -> None:
    """Have the next requests to a service fail, as AWS fails them: to see what becomes of a pipeline."""
    from penstock.cli.local import fault_command

    fault_command(service, {"status": status, "times": times, "operation": operation, "code": code, "after": after})


@local_app.command("status")
def local_status() -> None:
    """Say where it listens; exit code 1 when it is down."""
    from penstock.cli.local import status_command

    raise typer.Exit(status_command())
