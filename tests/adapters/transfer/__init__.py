"""A skill learned with one framework is injected with each of the others: `python -m tests.adapters.transfer`."""
