"""The text scorer `scorer:text`: traits of written replies on a CPU, from embeddings and a linear head a trait.

The heads are trained on the open trait dialogues and ship as data; `make scorer` makes them again, with the evaluation
on texts that they have not seen. See docs/judges.md.
"""

from traitbench.judges.scorer.heads import Evaluation, Validity, evaluation
from traitbench.judges.scorer.scoring import Scorer, scorer

__all__ = ["Evaluation", "Scorer", "Validity", "evaluation", "scorer"]
