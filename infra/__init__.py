"""What starts, packages, measures and operates intentstream."""
