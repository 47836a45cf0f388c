"""Comparisons of routing strategies: who is in which arm, what came of it, and what may be concluded."""
