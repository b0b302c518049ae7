"""Plain functions over arrays: intervals and response style."""

from traitbench.statistics.intervals import Estimate, leakage, stratified_mean
from traitbench.statistics.style import Style, response_style
from traitbench.statistics.thresholds import THRESHOLDS

__all__ = ["THRESHOLDS", "Estimate", "Style", "leakage", "response_style", "stratified_mean"]
