"""What a person or a probe asks a running worker: is it alive, is it ready, how is it doing."""
