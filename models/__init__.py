"""What turns text into an intent: the catalogue, the tiers and the chain that never goes dark."""

import os

# Or ONNX Runtime leaves a database and a device's id in the home folder, as soon as it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
