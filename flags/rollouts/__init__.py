"""Flags that climb by themselves, as part of their own state."""
