"""Makes models from a catalogue. Serving imports it only where nothing is prepared yet."""
