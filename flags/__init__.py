"""Switches that steer every decision: their definitions and how they are read."""
