"""The released test suites of the hosts, run with everything in them wrapped. `python -m tests.hosts --help`."""
