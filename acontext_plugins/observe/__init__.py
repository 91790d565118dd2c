"""Step 2 of the data path: messages become tasks with outcomes, by rules or by a model."""
