"""Flags over HTTP: reading, checking, changing them, and OpenFeature's remote evaluation protocol."""
