"""Step 3 of the data path: finished tasks become skills, by rules or by a model."""
