"""The workers together: who is there, how far each has come, whose word still counts, and who acts for all."""
