"""What turns text into an intent: the catalogue, the tiers and the chain that never goes dark."""
