"""Faults against real servers on a seeded schedule, and a checker that holds what is on the topics to the promises."""
