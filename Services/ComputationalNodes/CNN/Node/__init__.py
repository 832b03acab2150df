"""The Device: networks, their training, and the models on disk. Plain Python, no gRPC."""
