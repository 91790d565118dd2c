"""Step 5 of the data path: the exact text that enters a prompt."""
