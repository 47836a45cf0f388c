"""Comparisons that may be looked at whenever one likes: functions of what each arm has counted, without I/O."""
