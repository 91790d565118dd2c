"""Reading a conversation: its tool calls, values, outcomes and user turns. Used by observe, learn and adapters."""
