"""traitbench: measure and control the personality of language models."""

__version__ = "0.1.0"
