"""Benchmarks, run by `make bench`. Figures are printed with a ratio measured in the same run."""
