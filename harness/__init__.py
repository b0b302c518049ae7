"""traitbench: measure and control the personality of language models.

What `__all__` names is public and stays; modules may move. A name is imported when it is used, so that
`import traitbench` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traitbench.backends.backend import Backend, Options, Work
    from traitbench.backends.models import ModelSpec
    from traitbench.charts.chart import Figure
    from traitbench.errors import (
        BadData,
        BadInventory,
        MissingExtra,
        TraitbenchError,
        TraitbenchUsage,
        UnknownName,
        Unreachable,
        UnsupportedControl,
    )
    from traitbench.inventories import Inventory, Item
    from traitbench.leaderboard.frames import load_leaderboard
    from traitbench.methods.bench import Bench
    from traitbench.methods.method import Method
    from traitbench.runs.api import evaluate, fit, load_results
    from traitbench.runs.plan import Plan
    from traitbench.runs.results import Results
    from traitbench.samples import Condition, Grade, Sample
    from traitbench.tables import Table
    from traitbench.tasks.administration import Administration
    from traitbench.tasks.block import Block, Facts
    from traitbench.tasks.board import Contender, Part, Row
    from traitbench.tasks.task import About, Task
    from traitbench.tasks.views import Shown, Views
    from traitbench.types import (
        Choose,
        Continue,
        Control,
        Doc,
        Edit,
        Fit,
        Message,
        Person,
        Point,
        Record,
        Request,
        Response,
        Score,
        Target,
        When,
        Write,
    )

__version__ = "0.1.0"

__all__ = [
    "About", "Administration", "Backend", "BadData", "BadInventory", "Bench", "Block", "Choose", "Condition",
    "Contender", "Continue", "Control", "Doc", "Edit", "Facts", "Figure", "Fit", "Grade", "Inventory", "Item",
    "Message", "Method", "MissingExtra", "ModelSpec", "Options", "Part", "Person", "Plan", "Point", "Record", "Request",
    "Response", "Results", "Row", "Sample", "Score", "Shown", "Table", "Target", "Task", "TraitbenchError",
    "TraitbenchUsage", "UnknownName", "Unreachable", "UnsupportedControl", "Views", "When", "Work", "Write",
    "evaluate", "fit", "load_leaderboard", "load_results",
]  # fmt: skip

_PLACES = {
    "About": "traitbench.tasks.task",
    "Administration": "traitbench.tasks.administration",
    "Backend": "traitbench.backends.backend",
    "BadData": "traitbench.errors",
    "BadInventory": "traitbench.errors",
    "Bench": "traitbench.methods.bench",
    "Block": "traitbench.tasks.block",
    "Choose": "traitbench.types",
    "Condition": "traitbench.samples",
    "Contender": "traitbench.tasks.board",
    "Continue": "traitbench.types",
    "Control": "traitbench.types",
    "Doc": "traitbench.types",
    "Edit": "traitbench.types",
    "Facts": "traitbench.tasks.block",
    "Figure": "traitbench.charts.chart",
    "Fit": "traitbench.types",
    "Grade": "traitbench.samples",
    "Inventory": "traitbench.inventories",
    "Item": "traitbench.inventories",
    "Message": "traitbench.types",
    "Method": "traitbench.methods.method",
    "MissingExtra": "traitbench.errors",
    "ModelSpec": "traitbench.backends.models",
    "Options": "traitbench.backends.backend",
    "Part": "traitbench.tasks.board",
    "Person": "traitbench.types",
    "Plan": "traitbench.runs.plan",
    "Point": "traitbench.types",
    "Record": "traitbench.types",
    "Request": "traitbench.types",
    "Response": "traitbench.types",
    "Results": "traitbench.runs.results",
    "Row": "traitbench.tasks.board",
    "Sample": "traitbench.samples",
    "Score": "traitbench.types",
    "Shown": "traitbench.tasks.views",
    "Table": "traitbench.tables",
    "Target": "traitbench.types",
    "Task": "traitbench.tasks.task",
    "TraitbenchError": "traitbench.errors",
    "TraitbenchUsage": "traitbench.errors",
    "UnknownName": "traitbench.errors",
    "Unreachable": "traitbench.errors",
    "UnsupportedControl": "traitbench.errors",
    "Views": "traitbench.tasks.views",
    "When": "traitbench.types",
    "Work": "traitbench.backends.backend",
    "Write": "traitbench.types",
    "evaluate": "traitbench.runs.api",
    "fit": "traitbench.runs.api",
    "load_leaderboard": "traitbench.leaderboard.frames",
    "load_results": "traitbench.runs.api",
}
"""Public name -> the module that holds it. No name is that of a module of the package, which would take its place."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module 'traitbench' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    """List the public names too, for completion in a notebook."""
    return sorted({*globals(), *__all__})
