"""Every row of every format and schema is accepted or rejected, with its line and reason, in bounded memory."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curation.config import DatasetConfig, Mapping
from curation.data.rows import Message, row_id
from curation.data.validation import Report, example_from_row, load, preview, rows_from_parquet
from curation.errors import DataError
from curation.progress import Silent


class Counting(Silent):
    done = 0

    def advance(self, n: int = 1, **_: float) -> None:
        self.done += n


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), "utf-8")
    return path


def run(path: Path, folder: Path, **options: Any) -> tuple[Report, list[dict[str, Any]], list[dict[str, Any]]]:
    folder.mkdir(exist_ok=True)
    progress = Counting()
    report = load(DatasetConfig(path=str(path), **options), folder, progress, role="pool")
    assert progress.done == report.read == report.accepted + report.rejected
    assert sum(report.reasons.values()) == report.rejected
    accepted = list(rows_from_parquet(folder / "rows.parquet"))
    rejected = pq.read_table(folder / "rejects.parquet").to_pylist()
    assert (len(accepted), len(rejected)) == (report.accepted, report.rejected)
    return report, accepted, rejected


SCHEMAS: dict[str, dict[str, Any]] = {
    "messages": {"messages": [{"role": "user", "content": "q\u2028"}, {"role": "assistant", "content": "a\r\n"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "q\u2028"}, {"from": "gpt", "value": "a\r\n"}]},
    "alpaca": {"instruction": "q\u2028", "input": "", "output": "a\r\n"},
    "prompt_response": {"prompt": "q\u2028", "response": "a\r\n"},
    "question_answer": {"question": "q\u2028", "answer": "a\r\n"},
}


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("format", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_each_format_with_each_schema(tmp_path: Path, format: str, schema: str) -> None:
    import pandas as pd

    row = {"id": "own", "source": "here", "note": "n", **SCHEMAS[schema]}
    path = tmp_path / f"rows.{format}"
    if format in ("jsonl", "json"):
        path.write_text(json.dumps(row) + "\n" if format == "jsonl" else json.dumps([row]))
    else:
        flat = {k: v if format == "parquet" or isinstance(v, str) else json.dumps(v) for k, v in row.items()}
        frame = pd.DataFrame([flat])
        if format == "parquet":
            frame.to_parquet(path)
        else:
            frame.to_csv(path, index=False, sep="\t" if format == "tsv" else ",")
    report, (accepted,), _ = run(path, tmp_path / "out")
    assert report.mapping.schema == schema
    example = example_from_row(accepted)
    assert example.messages == (Message("user", "q\u2028"), Message("assistant", "a\r\n"))
    assert example.id == row_id(example.messages)
    assert (example.user_id, example.source, json.loads(example.extra)) == ("own", "here", {"note": "n"})


def test_rejected_rows_are_listed_with_line_reason_and_content(tmp_path: Path) -> None:
    good = {"prompt": "q", "response": "a"}
    path = write(tmp_path / "rows.jsonl", [good, '{"prompt": ', "", {"prompt": "q", "response": ""}, good, "[]"])
    report, accepted, rejected = run(path, tmp_path / "out")
    assert (report.read, report.accepted, report.rejected) == (5, 2, 3)
    assert [(r["line"], r["raw"]) for r in rejected] == [
        (2, '{"prompt":'),
        (4, '{"prompt": "q", "response": ""}'),
        (6, "[]"),
    ]
    assert rejected[1]["reason"] == "its answer is empty"
    assert report.reasons["its answer is empty"] == 1
    assert [r["line"] for r in accepted] == [1, 5]
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    assert report.preview == accepted


def test_repetitions_are_kept_and_numbered(tmp_path: Path) -> None:
    row, other = {"prompt": "q", "response": "a"}, {"prompt": "q", "response": "b"}
    _, accepted, _ = run(write(tmp_path / "rows.jsonl", [row, other, row, row]), tmp_path / "out")
    first = row_id((Message("user", "q"), Message("assistant", "a")))
    assert [r["id"] for r in accepted][::2] == [first, first + "-1"]
    assert accepted[3]["id"] == first + "-2"


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{"prompt": f"q{i}", "response": "a", "n": i} for i in range(50)])
    for out in ("one", "two"):
        run(path, tmp_path / out)
    assert (tmp_path / "one/rows.parquet").read_bytes() == (tmp_path / "two/rows.parquet").read_bytes()


def test_odd_characters_reach_the_file(tmp_path: Path) -> None:
    row = '{"prompt": "q", "response": "a", "half": "\\ud800", "source": "\\ud800", "big": 123456789012345678901}'
    _, (accepted,), _ = run(write(tmp_path / "rows.jsonl", [row]), tmp_path / "out")
    assert accepted["source"] == "?"
    assert json.loads(accepted["extra"]) == {"half": "\ud800", "big": 123456789012345678901}


def test_distinct_reasons_are_bounded(tmp_path: Path) -> None:
    good = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    odd = [{"messages": [{"role": f"r{i}", "content": "q"}]} for i in range(150)]
    report, _, _ = run(write(tmp_path / "rows.jsonl", [good, *odd]), tmp_path / "out")
    assert len(report.reasons) == 101
    assert report.reasons["other reasons"] == 50


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"foo": 1, "bar": 2}\n', r"rows.jsonl: the columns are foo, bar; expected messages"),
        ('{"prompt": "q", "response": ""}\n' * 2, "none of the 2 rows of rows.jsonl .*on line 1: its answer is empty"),
        ("nonsense\n", "none of the 1 rows of rows.jsonl can be used; the first, on line 1: it is not JSON"),
        ("\n\n", "rows.jsonl holds no rows"),
        (
            '{"prompt": "' + "x" * 30_000_000 + '", "response": "a"}',
            "on line 1: it is 30 MB long, expected at most 17 MB",
        ),
    ],
)
def test_a_file_without_usable_rows_gets_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=sentence) as caught:
        load(DatasetConfig(path=str(path)), tmp_path, Silent(), role="pool")
    assert len(str(caught.value)) < 400


def test_parquet_with_the_wrong_columns(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"height": [1.0], "weight": [2.0]}).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows.parquet: the columns are height, weight; expected messages"):
        load(DatasetConfig(path=str(tmp_path / "rows.parquet")), tmp_path / "x", Silent(), role="pool")


def test_preview_for_the_mapping_form(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{"prompt": f"q{i}", "response": "a"} for i in range(30)])
    mapping, records = preview(DatasetConfig(path=str(path)), 5)
    assert (mapping.schema, mapping.prompt) == ("prompt_response", "prompt")
    assert [r.value["prompt"] for r in records if r.value] == [f"q{i}" for i in range(5)]
    mapping, records = preview(DatasetConfig(path=str(write(tmp_path / "odd.jsonl", [{"frage": 1}]))))
    assert (mapping, records[0].value) == (Mapping(), {"frage": 1})


def test_a_local_hub_data_set(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.jsonl", [{"question": f"q{i}", "answer": "a"} for i in range(3)])
    report, accepted, _ = run(folder, tmp_path / "out", hub=True)
    assert (report.accepted, report.sha256, report.mapping.schema) == (3, "", "question_answer")
    assert accepted[2]["messages"][0]["content"] == "q2"


REAL: dict[str, tuple[int, Callable[[dict[str, Any]], bool]]] = {
    "pool_small.jsonl.gz": (2000, lambda row: row["source"] is not None and len(row["messages"]) == 2),
    "multiturn.jsonl.gz": (42, lambda row: [m["role"] for m in row["messages"]] == ["user", "assistant"] * 2),
    "queries/bbh.jsonl": (81, lambda row: row["group"] is not None),
    "queries/gsm8k.jsonl": (50, lambda row: row["group"] == "gsm8k"),
    "queries/humaneval.jsonl": (16, lambda row: row["messages"][1]["content"][0].isspace()),
    "queries/nat_inst_task835.jsonl": (20, lambda row: row["user_id"] is not None),
    "queries/nat_inst_task1195.jsonl": (20, lambda row: row["user_id"] is not None),
    "tests/gsm8k.jsonl": (500, lambda row: "answer" in json.loads(row["extra"])),
    "tests/humaneval.jsonl": (148, lambda row: {"entry_point", "test"} <= set(json.loads(row["extra"]))),
    "tests/bbh.jsonl": (486, lambda row: "answer" in json.loads(row["extra"])),
    "tests/nat_inst_task835.jsonl": (200, lambda row: "references" in json.loads(row["extra"])),
    "tests/nat_inst_task1195.jsonl": (200, lambda row: "references" in json.loads(row["extra"])),
}


@pytest.mark.parametrize("name", REAL)
def test_the_real_files_load_whole(shared: Path, tmp_path: Path, name: str) -> None:
    n, holds = REAL[name]
    path = shared / "data" / name
    report, accepted, _ = run(path, tmp_path / "out")
    assert (report.read, report.accepted) == (n, n)
    assert all(map(holds, accepted))
    text = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    first = json.loads(text.split(b"\n")[-2])
    contents = (
        [m["content"] for m in first["messages"]] if "messages" in first else [first["prompt"], first["response"]]
    )
    assert [m["content"] for m in accepted[-1]["messages"]] == contents


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_a_million_rows_in_bounded_memory(tmp_path: Path) -> None:
    """100 MB of JSONL, a tenth of the rows repeated: at most 600 MB in all, 150 MB of them for the libraries."""
    path = tmp_path / "rows.jsonl"
    with path.open("w") as file:
        for i in range(1_000_000):
            n = i % 900_000
            file.write(
                f'{{"prompt": "What is {n} plus {n}, written in words?", "response": "It is {2 * n}.", "n": {i}}}\n'
            )
    assert path.stat().st_size > 80e6
    script = (
        "import re, sys; from pathlib import Path\n"
        "from curation.config import DatasetConfig; from curation.data.validation import load\n"
        "from curation.progress import Silent\n"
        "report = load(DatasetConfig(path=sys.argv[1]), Path(sys.argv[2]), Silent(), role='pool')\n"
        "status = Path('/proc/self/status').read_text()\n"  # getrusage would count what pytest held before the fork
        "print(report.accepted, int(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1]) // 1024)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    accepted, peak = map(int, done.stdout.split())
    assert accepted == 1_000_000
    assert peak < 600
    assert pq.read_metadata(tmp_path / "rows.parquet").num_row_groups > 100
    ids = pq.read_table(tmp_path / "rows.parquet", columns=["id"]).column("id")
    assert len(ids.unique()) == 1_000_000
