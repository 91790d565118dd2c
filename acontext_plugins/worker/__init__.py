"""Background work: due jobs, leases, retries, and what they cost."""
