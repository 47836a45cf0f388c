"""A key per person: texts are sealed with it, and whoever is to be forgotten has theirs destroyed."""
