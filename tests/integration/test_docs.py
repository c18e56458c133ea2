"""The snippets of the documents do what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pipelines import Project

from penstock.config import AwsSettings
from penstock.connectors.s3.access import client
from penstock.infra.local.control import LocalAws

DOCS = Path(__file__).parents[2] / "docs"
README = DOCS.parent / "README.md"


def snippets(file: Path, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", file.read_text(), re.DOTALL | re.MULTILINE)
    return ["".join(line.removeprefix(indent) + "\n" for line in text.splitlines()) for indent, text in found]


def test_the_test_of_the_how_to_passes(local_aws: LocalAws, local_bucket: Callable[[str], str]) -> None:
    (text,) = snippets(DOCS / "how-to" / "test-your-pipeline.md", "python")
    names: dict[str, Callable[..., None]] = {}
    exec(text, names)
    names["test_orders"](local_aws, local_bucket)


def test_files_go_into_redshift_as_the_how_to_says(tmp_path: Path, local_aws: LocalAws, local_bucket: Callable[[str], str]) -> None:
    project, bucket = Project(tmp_path), local_bucket("files")
    schema = bucket.replace("-", "_")
    steps = snippets(DOCS / "how-to" / "load-redshift.md", "yaml")[1].replace(".mart.", f".{schema}.")
    project.write(
        "pipeline.yaml",
        f"""pipeline: sales
connections: {{raw: {{kind: s3, bucket: {bucket}}}, warehouse: {{kind: redshift, workgroup: local}}}}
tables: {{warehouse.{schema}.sales: {{columns: {{id: bigint!, day: date}}, keys: [id]}}}}
{steps}environments: {{local: {{aws: local}}}}
""",
    )
    s3 = client("s3", AwsSettings.from_environment(local_aws.environment()))
    s3.put_object(Bucket=bucket, Key="sales/1.csv", Body=b"day;id\n31.12.2025;1\n2026-01-01;2\n")
    done, found = project.record("--env", "local")
    assert done.code == 0, done.err
    assert (found["load_sales"]["counts"]["applied"], found["load_sales"]["counts"]["quarantined"]) == (1, 1)
    assert project.rows(f"{schema}.sales", connection="warehouse") == [{"id": 1, "day": "2025-12-31"}]


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    assert Project(tmp_path).penstock("init", "shop").code == 0
    return Project(tmp_path / "shop")


def test_the_tutorials_table_and_steps_work(shop: Project) -> None:
    table, steps = snippets(DOCS / "tutorial" / "first-pipeline.md", "yaml")
    text = (shop.folder / "pipeline.yaml").read_text()
    text = text.replace("steps:\n", table.partition("tables:\n")[2] + "\nsteps:\n", 1)
    shop.write("pipeline.yaml", text + steps.partition("steps:\n")[2])
    shop.write("landing/sales/2026-01.csv", "sale_id,sold_on,price\n1,2026-01-01,9.50\n2,yesterday,1.00\n")
    done = shop.penstock("run", ".")
    assert done.code == 0, done.err
    assert shop.rows("lake.shop.sales") == [{"sale_id": 1, "sold_on": "2026-01-01", "price": "9.50"}]
    (kept,) = shop.rows("lake.shop.sales__quarantine")
    assert kept["__position"].endswith("2026-01.csv#3")


def test_the_readmes_pipeline_is_the_one_that_init_makes(shop: Project) -> None:
    (text,) = snippets(README, "yaml")
    made = (shop.folder / "pipeline.yaml").read_text()
    for line in (line.strip() for line in text.splitlines()):
        assert line in made, line


def test_the_readmes_output_is_real(shop: Project) -> None:
    _, steps = shop.record()
    shown = {line.split()[0]: line.split() for line in snippets(README, "console")[1].splitlines() if line.strip() and not line.startswith("$")}
    for name in ("orders", "by_country"):
        counts = [str(steps[name]["counts"][c]) for c in ("read", "applied", "unchanged", "superseded", "duplicate", "filtered", "quarantined")]
        assert shown[name][3:10] == counts
    assert shop.rows("lake.shop.orders__quarantine", "__reason")[0]["__reason"] in snippets(README, "console")[1]


def test_links_lead_somewhere() -> None:
    for file in (README, *DOCS.rglob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_the_schema_document_is_json() -> None:
    assert json.loads((DOCS / "reference" / "pipeline.schema.json").read_text())["title"] == "Penstock pipeline"
