"""Storage for acontext-plugins: nouns, interfaces, backends. Knows no LLM, no HTTP and no framework."""
