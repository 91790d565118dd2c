"""Benchmarks: what memory costs, measured beside the raw limits of the same run."""
