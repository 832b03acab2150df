"""The services of the mock datacenter and the operating-system layer below them."""

import os

# gRPC reads this when it is first imported. Its newer listener and client hand each message that arrives to two more threads:
# a sixth of a hop. Programs that need them set the variable themselves.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener,-event_engine_client")
