"""What --model_args does not take is refused when the plan is made, without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from traitbench.backends import BACKENDS
from traitbench.backends.arguments import ARGUMENTS, check_arguments
from traitbench.errors import UnknownName
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare

WRONG = [
    ({"dtyp": "float32"}, "unknown key of --model_args for {} 'dtyp'; did you mean 'dtype'?"),
    ({"dtype": "float31"}, "--model_args dtype=float31: .*'float32', 'bfloat16', 'float16' or 'auto'"),
    ({"trust_remote_code": "perhaps"}, "--model_args trust_remote_code=perhaps: .*valid boolean"),
]


@pytest.mark.parametrize("backend", ARGUMENTS)
@pytest.mark.parametrize(("given", "told"), WRONG)
def test_a_plan_with_them_is_refused(backend: str, given: dict[str, str], told: str) -> None:
    with pytest.raises(UnknownName, match=told.format(backend).replace("?", r"\?")):
        prepare(Plan(model="org/no_such_model", backend=backend, model_args=given))


def test_it_is_refused_without_torch() -> None:
    line = "run --model smollm2 --backend hf --tasks mini_ipip --model_args"
    script = (
        "import sys; from traitbench.cli.commands import main; "
        f"codes = [main(f'{line} {{bad}}'.split()) for bad in ('dtype=float31', 'foo=1')]; "
        "sys.exit(codes != [2, 2] or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("error: ") == 2


def test_the_table_is_that_of_the_backends() -> None:
    for name in ARGUMENTS:
        assert issubclass(BACKENDS.load(name).Arguments, ARGUMENTS[name])


def test_a_commit_of_digits_alone_is_a_revision() -> None:
    assert check_arguments("hf", ARGUMENTS["hf"], {"revision": 12345678, "dtype": None}).revision == "12345678"


def test_a_value_out_of_two_bounds_is_told_both() -> None:
    with pytest.raises(UnknownName, match=r"extraversion=5: .*; expected a number from 0 to 1$"):
        prepare_and_check({"extraversion": 5})
    with pytest.raises(UnknownName, match=r"acquiescence=-2: .*; expected a number from -1 to 1$"):
        prepare_and_check({"acquiescence": -2})


def prepare_and_check(given: dict[str, float]) -> None:
    prepared = prepare(Plan(model="scripted:person", model_args=given, tasks=("mini_ipip",)))
    BACKENDS.load(prepared.backend).check(prepared.spec, prepared.plan.options())
