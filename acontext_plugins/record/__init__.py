"""Step 1 of the data path: what was said and done reaches the disk, without its secrets."""
