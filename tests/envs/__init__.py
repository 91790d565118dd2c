"""Environments for the adapters' tests: one for each framework and version. `python -m tests.envs --help`."""
