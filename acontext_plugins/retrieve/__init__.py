"""Step 4 of the data path: the skills that fit, by words, by meaning, and by walking the tree of blocks."""
