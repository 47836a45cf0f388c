"""What was decided before, looked up on the topics."""
