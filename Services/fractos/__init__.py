"""The operating-system layer of the mock datacenter. Applications need `connect` and `TaskGraph`, and the errors to catch."""

from Services.fractos.client import Datacenter, Run, connect
from Services.fractos.errors import FractosError
from Services.fractos.graph import TaskGraph
from Services.fractos.result import Result

__all__ = ["Datacenter", "FractosError", "Result", "Run", "TaskGraph", "connect"]
