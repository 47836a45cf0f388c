"""Runs the core under a clock, a broker and models of our own, in which anything may fail at any moment, by one seed.

Ahead of `infra.chaos`, which does it to real servers and so takes as long as they do.
"""
