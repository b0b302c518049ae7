"""`traitbench run --model endpoint:NAME`: results, exit codes, resuming, and where a key may not be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_server import Model, Server, served
from said import Said, Say, folder, numbers, results

from traitbench.cli.commands import main
from traitbench.store import read_json

KEY = "sk-not-for-anyone-1234567890"


FOLDER = "endpoint__fake@*"
Run = Callable[..., Said]


@pytest.fixture
def run(say: Say) -> Run:
    """Run the Mini-IPIP at a server, in an empty folder."""

    def go(server: Server, more: str = "", arguments: str = "", scoring: str = "choice") -> Said:
        args = f"base_url={server.url},backoff=0.01,timeout=0.5" + (f",{arguments}" if arguments else "")
        line = f"run --model endpoint:fake --model_args {args} --tasks mini_ipip --scoring {scoring}"
        return say(f"{line} --bootstrap_iters 20 -o runs {more}")

    return go


def test_a_run(run: Run) -> None:
    control = "--method prompting --target extraversion=high --limit 6"
    with served("vllm") as server:
        done = run(server, control, "input_price=1,output_price=2", scoring="choice,statement,generate")
        assert done.code == 0, done.err
        found = results(FOLDER)
        want = found["cost"]
        assert want["input_tokens"] > 5_000 and want["output_tokens"] >= 2 * 6 * 5
        assert want["usd"] == pytest.approx((want["input_tokens"] + 2 * want["output_tokens"]) / 1e6)
        assert found["model_source"] == "endpoint" and found["model"]["choose"] == "token_ids"
        before = len(server.seen)
        assert run(server, control, "input_price=1,output_price=2,concurrency=2", "choice,statement,generate").code == 0
        asked = [path for path, body, _ in server.seen[before:] if "Statement" in json.dumps(body)]
        assert not asked, "answers are kept, and how fast they are asked for is no other run"
        assert results(FOLDER)["cost"]["input_tokens"] == want["input_tokens"]
        assert numbers(results(FOLDER)) == numbers(found)
        assert main(["export", str(folder(FOLDER)), "--to", "published"]) == 0
        assert main(["leaderboard", "--published", "published", "-o", "board"]) == 0
        row = json.loads(Path("board/leaderboard.json").read_text())["entries"][0]
        assert (row["model"], row["backend"]) == ("fake", "endpoint")
        assert main(["report", str(folder(FOLDER))]) == 0
        assert main(["ls", "models", "endpoint:fake"]) == 0


WAYS = ("drop", None, "429", None, "500", "broken", None, "nologprobs", None, "stall", None)


def test_a_faulty_server_gives_the_numbers_of_a_healthy_one(run: Run, tmp_path: Path) -> None:
    with served("chat") as healthy:
        assert run(healthy).code == 0
        want = numbers(results(FOLDER))
        (tmp_path / "runs").rename(tmp_path / "other")
        faulty = Server("chat", healthy.model, lambda n, path, body: WAYS[n % len(WAYS)])
        try:
            done = run(faulty, arguments="retries=20")
        finally:
            faulty.close()
    assert done.code == 0 and numbers(results(FOLDER)) == want
    assert set(faulty.answered().values()) == {1} and len(faulty.answered()) == 40


def test_a_server_that_vanishes_and_comes_back(run: Run) -> None:
    """Exit code 3; the same command, more patient, asks only what is missing."""
    with served("chat") as healthy:
        assert run(healthy, "-o whole").code == 0
        (whole,) = Path("whole").glob("*/results_*.json")
        model = healthy.model
    left = [17]

    def dies(number: int, path: str, body: dict[str, Any]) -> str | None:
        if "Statement" in json.dumps(body):
            left[0] -= 1
        return "500" if left[0] < 0 else None

    with served("chat", model, dies) as server:
        stopped = run(server, arguments="retries=1,concurrency=3")
        assert stopped.code == 3 and "500: fault 500" in stopped.err and "goes on from there" in stopped.err
        assert not list(folder(FOLDER).glob("results_*.json"))
        kept = [json.loads(line) for line in (folder(FOLDER) / "responses.jsonl").read_text().splitlines()]
        assert sum(row.get("status") != "error" for row in kept) == len(server.answered()) == 17
        server.fault = None
        done = run(server, arguments="retries=4,concurrency=2")
        assert done.code == 0, done.err
        assert len(server.answered()) == 40 and set(server.answered().values()) == {1}, "none was asked twice"
        assert numbers(results(FOLDER)) == numbers(read_json(whole))


def test_calls_that_fail_leave_the_run_finished_with_exit_code_3(run: Run) -> None:
    word = "Have a vivid imagination"

    def fault(number: int, path: str, body: dict[str, Any]) -> str | None:
        return "500" if word.lower() in json.dumps(body).lower() else None

    with served("chat", fault=fault) as server:
        done = run(server, arguments="retries=1")
        assert done.code == 3 and "2 calls failed; the same command asks them again" in done.err
        assert results(FOLDER)["n_failed"] == {"mini_ipip": 2}
        rows = [json.loads(line) for line in next(folder(FOLDER).glob("samples_*.jsonl")).read_text().splitlines()]
        failed = [row for row in rows if row["status"] == "error"]
        assert len(failed) == 2 and not any("value_raw" in row or "option_logprobs" in row for row in failed)
        server.fault = None
        assert run(server, arguments="retries=1").code == 0 and results(FOLDER)["n_failed"] == {"mini_ipip": 0}
        assert set(server.answered().values()) == {1} and len(server.answered()) == 40


def test_a_key_is_in_no_file_and_no_message(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAITBENCH_API_KEY", KEY)
    told = []

    def echoing(number: int, path: str, body: dict[str, Any]) -> str | None:
        return "500" if number > 20 else None

    with served("chat", fault=echoing) as server:
        server.key = KEY
        told.append(run(server, "--write_out", "retries=1,concurrency=2"))
        assert told[-1].code == 3 and "Bearer ***" in told[-1].err, "the server repeats the key, and it is masked"
        server.fault = None
        told.append(run(server))
        assert told[-1].code == 0
        monkeypatch.setenv("TRAITBENCH_API_KEY", "sk-wrong-0987654321")
        told.append(run(server, "--no_resume"))
        assert told[-1].code == 1 and "refuses the key (401)" in told[-1].err
    words = [word for said in told for word in (said.out, said.err)]
    words += [path.read_text(errors="replace") for path in Path(".").rglob("*") if path.is_file()]
    assert len(words) > 8
    assert not any("sk-not" in word or "1234567890" in word or "sk-wrong" in word for word in words)


def test_answers_of_which_too_little_is_shown_are_missing(run: Run) -> None:
    with served("chat", Model(flat=True)) as server:
        done = run(server)
        assert done.code == 0, done.err
        rows = [json.loads(line) for line in next(folder(FOLDER).glob("samples_*.jsonl")).read_text().splitlines()]
        assert {row["status"] for row in rows} == {"unseen"} and not any("value_raw" in row for row in rows)
        assert all(row["value_bounds"][0] < row["value_bounds"][1] - 0.05 for row in rows)
        assert main(["score", str(folder(FOLDER))]) == 0


REFUSED = {
    ("--method pas", ""): "the method pas makes",
    ("", "api_key=sk-abc"): "--model_args api_key: a key is not taken from the command line",
    ("--backend hf", ""): "the backend hf cannot run the model 'endpoint:fake'; use --backend endpoint or auto",
    ("--batch_size 4", ""): "write --model_args concurrency=N",
}


@pytest.mark.parametrize(("more", "arguments"), REFUSED)
def test_what_is_refused_before_a_folder_is_made(run: Run, more: str, arguments: str) -> None:
    with served("vllm") as server:
        done = run(server, more, arguments)
        assert done.code == 2 and REFUSED[more, arguments] in done.err and "sk-abc" not in done.err
        assert not server.seen and not Path("runs").exists()


def test_a_mode_that_the_server_lacks_names_the_ones_it_has(run: Run) -> None:
    with served("chat") as server:
        done = run(server, scoring="choice,statement")
        assert done.code == 1 and "use --scoring choice" in done.err and not server.answered()
