"""Benchmarks and the figures in README and in the model cards: `python -m bench COMMAND`. Not part of the installed package."""
