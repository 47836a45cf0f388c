"""A stretch of the past classified again, by the code that serves: as it was, or as it would be."""
