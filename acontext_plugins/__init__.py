"""acontext-plugins: drop-in memory that learns, for any AI agent."""
