"""The tier `distilbert` answered by a server: the Open Inference Protocol v2, or TorchServe."""
