"""The command of lm-eval with our model in its list: `python -m traitbench.lm_eval run --model traitbench ...`.

lm-eval finds no models in other packages by itself, so its own command line runs here, once the name is registered.
"""

from __future__ import annotations

import os
import sys

from traitbench.errors import TraitbenchError

__all__ = ["main", "register"]

_MODEL = "traitbench.export.lm_model:ControlledLM"


def register() -> None:
    """Make `traitbench` a name that lm-eval's `--model` and `get_model` know; MissingExtra without lm-eval."""
    from traitbench.backends.lm_eval.kinds import installed

    installed()
    import lm_eval.models  # noqa: F401  (lm-eval adds its own names only to a registry that is empty)
    from lm_eval.api.registry import model_registry

    if "traitbench" not in model_registry:
        model_registry.register("traitbench", target=_MODEL)


def main() -> None:
    """Run lm-eval's command line; an error that the user can mend is one line on stderr."""
    try:
        register()
        from lm_eval.__main__ import cli_evaluate

        cli_evaluate()
    except TraitbenchError as error:
        if os.environ.get("TRAITBENCH_DEBUG") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
