"""What comes with an error: which argument is wrong (BadRequest), where it was (ErrorInfo), when to come again (RetryInfo).

    python3 Applications/plain_grpc/error_details.py

Programs that use `connect()` need none of this: they get an error of Services/fractos/errors.py with all of it as attributes.
"""

try:
    import grpc
    from google.protobuf.message import Message
    from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
    from grpc_status import rpc_status

    from Applications.plain_grpc.without_protos import CAPABILITY, address_of, capability_for
    from protos import application_pb2, application_pb2_grpc, fractos_pb2, math_pb2, math_pb2_grpc
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[2] / "Services/fractos/bootstrap.py"))

import sys
import time
import uuid
from collections.abc import Callable
from typing import TypeVar

Detail = TypeVar("Detail", bound=Message)
TIMEOUT_S = 10.0


def main() -> None:
    """Provoke errors and show what came with them."""
    try:
        with grpc.insecure_channel(address_of("math")) as channel:
            ask_for_the_impossible(math_pb2_grpc.MathStub(channel))
        with grpc.insecure_channel(address_of("application")) as channel:
            fill_the_datacenter(application_pb2_grpc.ApplicationStub(channel))
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")


def detail_of(error: grpc.RpcError, kind: type[Detail]) -> Detail | None:
    """The google.rpc message of that kind that came with an error, if one did."""
    status = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
    packed = next((one for one in status.details if one.Is(kind.DESCRIPTOR)), None) if status else None
    return kind.FromString(packed.value) if packed else None


def ask_for_the_impossible(math: math_pb2_grpc.MathStub) -> None:
    """Ask for the factorial of -1."""
    try:
        minus_one = fractos_pb2.BigInteger(negative=True, magnitude=b"\x01")
        math.Factorial(math_pb2.FactorialRequest(n=minus_one), timeout=TIMEOUT_S, metadata=allowing("math"))
    except grpc.RpcError as error:
        info, request = detail_of(error, ErrorInfo), detail_of(error, BadRequest)
        if info is None or request is None:
            raise
        print(f"{error.code().name} ({info.reason}) from {info.metadata['node']}")
        for violation in request.field_violations:
            print(f"  {violation.field}: {violation.description}")


def allowing(service: str) -> tuple[tuple[str, bytes], ...]:
    """The metadata of a call: what allows it."""
    return ((CAPABILITY, capability_for(service)),)


def long_run() -> application_pb2.SubmitRequest:
    """A run of a thousand slow steps, one after the other: ten of them fill the math nodes."""
    three, four, n = (fractos_pb2.BigInteger(magnitude=value.to_bytes(2, "big").lstrip(b"\0")) for value in (3, 4, 9999))
    arguments = math_pb2.BinomialExpansionRequest(a=three, b=four, n=n).SerializeToString()
    capability = fractos_pb2.Capability.FromString(capability_for("math"))  # each node asks for what allows its step
    graph = fractos_pb2.Graph(name="long")
    for number in range(1000):
        edges = [fractos_pb2.Edge(to=number + 1)] if number < 999 else []
        graph.steps.add(id=number, operation="math.binomial_expansion", arguments=arguments, edges=edges, capability=capability)
    return application_pb2.SubmitRequest(run_id=uuid.uuid4().bytes, timeout_s=60, graph=graph.SerializeToString())


def submit_patiently(
    application: application_pb2_grpc.ApplicationStub,
    run: application_pb2.SubmitRequest,
    when_refused: Callable[[grpc.RpcError, float], None],
) -> None:
    """Submit a run, and if there is no room for it, again after the time that the application node names."""
    while True:
        try:
            application.Submit(run, timeout=TIMEOUT_S, metadata=allowing("application"))
        except grpc.RpcError as error:
            retry = detail_of(error, RetryInfo)
            if retry is None:
                raise
            delay_s = retry.retry_delay.ToTimedelta().total_seconds()
            when_refused(error, delay_s)
            time.sleep(delay_s)
        else:
            return


def fill_the_datacenter(application: application_pb2_grpc.ApplicationStub) -> None:
    """Submit one run more than there is room for, and make room once it is refused."""
    *runs, last = (long_run() for _ in range(11))
    refusals = []

    def make_room(error: grpc.RpcError, delay_s: float) -> None:
        refusals.append(f"{error.code().name}: come again in {delay_s:g} s")
        cancel(application, runs)

    try:
        for run in runs:
            application.Submit(run, timeout=TIMEOUT_S, metadata=allowing("application"))
        submit_patiently(application, last, make_room)
        print(refusals[0], "accepted at last", sep="\n")
    finally:
        cancel(application, [*runs, last])


def cancel(application: application_pb2_grpc.ApplicationStub, runs: list[application_pb2.SubmitRequest]) -> None:
    """End runs; those that are not there have ended already or were never accepted."""
    for run in runs:
        try:
            request = application_pb2.CancelRequest(run_id=run.run_id)
            application.Cancel(request, timeout=TIMEOUT_S, metadata=allowing("application"))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise


if __name__ == "__main__":
    main()
