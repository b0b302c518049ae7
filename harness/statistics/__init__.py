"""Plain functions over arrays: intervals and response style."""

from traitbench.statistics.intervals import Estimate, leakage, stratified_mean
from traitbench.statistics.style import FLAGS, Style, response_style

__all__ = ["FLAGS", "Estimate", "Style", "leakage", "response_style", "stratified_mean"]
