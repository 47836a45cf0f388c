"""How a release is tried beside the one that serves: asked in its shadow, rolled out, promoted or withdrawn."""
