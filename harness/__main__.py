"""`python -m traitbench` is the command `traitbench`, e.g. for `accelerate launch -m traitbench fit ...`."""

import sys

from traitbench.cli.commands import main

sys.exit(main())
