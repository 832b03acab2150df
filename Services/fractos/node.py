"""A node's life, shared by every `*_controller.py`: flags, logging, start-up, readiness, and the way out.

Start-up makes the device ready, lists the node in the directory and only then says SERVING; a signal takes the same steps back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import secrets
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from protos import application_pb2, fractos_pb2, fractos_pb2_grpc
from Services.fractos import event_log
from Services.fractos.adaptor import Adaptor
from Services.fractos.capability import KEY_BYTES
from Services.fractos.config import Configuration, load
from Services.fractos.controller import Clients, Controller
from Services.fractos.custody import Custody
from Services.fractos.device_model import DeviceModel
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import Directory, DirectoryRecord, Member
from Services.fractos.engine import Engine
from Services.fractos.errors import ConfigurationError, FractosError
from Services.fractos.events import Event, MembersChanged, Owned
from Services.fractos.following import Following, is_first
from Services.fractos.formation import join_or_form
from Services.fractos.guard import Guard
from Services.fractos.journal import Journal
from Services.fractos.keys import DATACENTER, load_or_make_key
from Services.fractos.limits import Limits
from Services.fractos.node_memory import NodeMemoryServer
from Services.fractos.node_network import attach_network
from Services.fractos.node_options import Options, log_to, parse
from Services.fractos.operations import Catalogue
from Services.fractos.ownership import Ownership
from Services.fractos.placement import Identity
from Services.fractos.telemetry import Telemetry, check_packages
from Services.fractos.transport.call_proof import CallProver, CallVerifier
from Services.fractos.transport.capabilities import CapabilitiesServicer
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.grpc_channel import CONNECT, MAX_FRAMES_BYTES, OPTIONS, ChannelServicer, GrpcTransport
from Services.fractos.transport.local_stream import LocalListener, Method
from Services.fractos.transport.node_service import NodeServicer
from Services.fractos.transport.traffic import Counters, TrafficServicer
from Services.fractos.transport.unary import unary_service

log = logging.getLogger(__name__)

DRAIN_S = 2.0  # how long a stopping node waits for the calls that its device has begun


class CreateAdaptor(Protocol):
    """How an Adaptor is made for one datacenter: `StorageAdaptor.create` and its like."""

    def __call__(self, catalogue: Catalogue, root: Path, storage_path: Path) -> Adaptor:
        """`root` is the datacenter's folder, `storage_path` the folder of the clients' folders."""


class ClientService(Clients, Protocol):
    """What an application node offers to clients."""

    def attach(self, controller: Controller, server: grpc.aio.Server, verifier: CallVerifier) -> Mapping[str, Method]:
        """Add the service to a server that has not started, and use this Controller.

        `verifier` tells who has the datacenter's key. Returns what of it is offered over local streams, too.
        """


def main(node_type: str, create: CreateAdaptor | None = None, clients: ClientService | None = None) -> int:
    """Run a node until it is told to stop. Returns the exit code: 0, 1 if it could not start or 2 if it was set up wrongly.

    `create` makes the Adaptor of a device; `clients` is the service of an application node.
    """
    try:
        options = parse(node_type)
        configuration = load(options.root)
        check_packages(configuration)
        record = join_or_form(configuration, zookeeper=options.zookeeper)
        _allow_descriptors()
        uvloop.run(_Node(node_type, options, configuration, record, create, clients).live())
    except ConfigurationError as error:
        print(f"{node_type} node: {error}", file=sys.stderr)
        return 2
    except (FractosError, OSError) as error:
        print(f"{node_type} node: {error}", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True)
class _Parts:
    """What a node that serves is made of, and has to be closed."""

    controller: Controller
    transport: GrpcTransport
    memory: NodeMemoryServer
    capabilities: CapabilitiesServicer
    network: NodeNetwork
    streams: Mapping[str, Method]
    servicer: NodeServicer
    telemetry: Telemetry


class _Node:
    """One node from start to stop."""

    def __init__(
        self,
        node_type: str,
        options: Options,
        configuration: Configuration,
        record: DirectoryRecord,
        create: CreateAdaptor | None,
        clients: ClientService | None,
    ) -> None:
        self._node_type = node_type
        self._options = options
        self._configuration = configuration
        self._record = record
        self._clients = clients
        self._key = load_or_make_key(configuration.keys_path, DATACENTER)
        self._memory_key = secrets.token_bytes(KEY_BYTES)  # nobody else has it, and it dies with this process
        self._guard = Guard(node_type, load_or_make_key(configuration.keys_path, node_type), self._memory_key)
        self._catalogue = Catalogue.from_protos()
        self._adaptor = self._make_adaptor(create) if create else None
        self._health = health.aio.HealthServicer()

    async def live(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop."""
        stop = asyncio.Event()

        def told_to_stop() -> None:
            stop.set()
            if self._options.told_to_stop is not None:
                with contextlib.suppress(OSError):  # a full disk: then this looks like a crash
                    self._options.told_to_stop.touch()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told_to_stop)
        if self._options.log is not None:
            log_to(self._options, self._options.log, self._configuration.log)
        directory = open_directory(self._record)
        following = Following(directory)
        server = grpc.aio.server(options=[*OPTIONS, ("grpc.so_reuseport", 0)], interceptors=[following])
        address = f"{self._configuration.grpc_ip}:{self._listen(server)}"
        local = LocalListener(address, MAX_FRAMES_BYTES)
        try:
            starting = asyncio.create_task(self._start(server, local, directory, following, address))
            await _first_of(starting, stop)
            if not starting.cancelled():
                parts = starting.result()
                await stop.wait()
                await self._stop(server, local, directory, parts)
        finally:
            await local.close()
            await directory.close()
            if self._adaptor is not None:
                await asyncio.to_thread(self._adaptor.stop)
            await server.stop(None)

    def _listen(self, server: grpc.aio.Server) -> int:
        """Bind a free port and return it."""
        address = self._configuration.grpc_ip
        try:
            return server.add_insecure_port(f"{address}:0")
        except RuntimeError as error:
            raise ConfigurationError(
                f"[DataCenter] grpc_ip = {address}: cannot listen there; give an address of this host, for example 127.0.0.1"
            ) from error

    def _make_adaptor(self, create: CreateAdaptor) -> Adaptor:
        settings = self._configuration.controller(self._node_type)
        root = self._configuration.root
        storage_path = settings.storage_path if settings else root / "Services" / "storage"
        return create(self._catalogue, root, storage_path)

    async def _start(
        self, server: grpc.aio.Server, local: LocalListener, directory: Directory, following: Following, address: str
    ) -> _Parts:
        """Make the device ready, list the node, serve. Who connects in between waits in the sockets' queues."""
        tasks = [asyncio.create_task(directory.start(self._configuration.start_timeout_s, follow=False))]
        if self._adaptor is not None:
            tasks.append(asyncio.create_task(asyncio.to_thread(self._adaptor.start)))
        await asyncio.gather(*tasks)
        member = await self._register(directory, address)
        if self._clients is not None:
            await following.begin(self._configuration.start_timeout_s)  # else it would refuse the first runs
        elif is_first(member.name):
            await following.begin()
        identity = Identity(member.node_type, member.name, member.address, member.log, member.id)
        parts = self._assemble(server, directory, identity)
        directory.watch(lambda members: parts.controller.feed(MembersChanged(members)))
        # Before it serves, and after it is listed: so none is missed, and who revokes knows of this node.
        await directory.watch_revocations(self._node_type, self._guard.revoke)
        await parts.telemetry.begin(parts.servicer.describe)  # before anything comes that counts
        await server.start()
        await local.serve({name: following.first(method) for name, method in parts.streams.items()})
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        # What is alive now stays so: leaving it to the collector would cost a pause of milliseconds now and then.
        gc.collect()
        gc.freeze()
        log.info("%s is ready at %s, process %d", member.name, address, os.getpid())
        return parts

    async def _register(self, directory: Directory, address: str) -> Member:
        """List the node. One that writes its own log begins it here, where its name is known."""
        index, given = self._options.index, self._options.log
        log_of = str(given or self._configuration.logs_path / "{node}.log")
        member = await directory.register(
            self._node_type, index, id=str(uuid.uuid4()), address=address, pid=os.getpid(), log=log_of
        )
        if given is None:
            log_to(self._options, Path(member.log), self._configuration.log)
        return member

    def _assemble(self, server: grpc.aio.Server, directory: Directory, identity: Identity) -> _Parts:
        """Put the node together: engine, Controller, transport, services."""

        def deliver(*events: Event) -> None:
            controller.feed(*events)

        datacenter = self._configuration.name
        journal = self._journal()
        custody = self._custody(identity, journal)
        if custody is not None and is_first(identity.name):
            custody.stand_by()
        durable = custody is not None and journal is None
        limits = Limits(answers_kept_s=self._configuration.journal_keep_s)
        guard = self._guard if self._configuration.authorization == "checked" else None
        engine = Engine(identity, self._catalogue, limits=limits, with_runs=journal is not None, durable=durable, guard=guard)
        network = attach_network(server, self._configuration, self._key, identity, engine.placement.name_at)
        transport = GrpcTransport(datacenter, self._key, identity.name, deliver, time.time, network)
        memory = NodeMemoryServer(
            self._configuration, identity, self._guard, self._memory_key, engine.placement.is_known, network
        )
        settings = self._configuration.controller(self._node_type)
        controller = Controller(
            engine,
            self._adaptor,
            transport,
            clients=self._clients,
            custody=custody,
            journal=journal,
            model=DeviceModel.of(settings.device) if settings else None,
            memory=memory.for_calls,
        )
        if event_log.is_wanted():
            controller.observers.append(event_log.EventLog())
        channels = ChannelServicer(
            datacenter, self._key, identity.address, controller.feed, time.time, lambda: engine.tenure.epoch, network
        )
        fractos_pb2_grpc.add_ChannelServicer_to_server(channels, server)
        streams = {CONNECT: Method(channels.Connect, fractos_pb2.Frames)}
        capabilities = self._capabilities(directory, identity)
        fractos_pb2_grpc.add_CapabilitiesServicer_to_server(capabilities, server)
        memory.attach(server)
        counters = Counters(transport.sent, memory.traffic, memory.store)
        fractos_pb2_grpc.add_TrafficServicer_to_server(TrafficServicer(identity, memory.may_use, counters), server)
        verifier = CallVerifier(datacenter, self._key, identity.address, time.time)
        servicer = NodeServicer(controller, verifier, counters, self._state_folder(journal))
        fractos_pb2_grpc.add_NodeServicer_to_server(servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        operations = self._catalogue.of_type(self._node_type)
        ours = (service.full_name for service in fractos_pb2.DESCRIPTOR.services_by_name.values())
        services = [reflection.SERVICE_NAME, health.SERVICE_NAME, *ours]
        if operations:
            server.add_generic_rpc_handlers((unary_service(operations, controller, time.time, network),))
            services.append(operations[0].rpc.split("/")[1])
        if self._clients is not None:
            streams |= self._clients.attach(controller, server, verifier)
            services.append(application_pb2.DESCRIPTOR.services_by_name["Application"].full_name)
        reflection.enable_server_reflection(services, server)
        telemetry = Telemetry(self._configuration, controller, self._catalogue)
        return _Parts(controller, transport, memory, capabilities, network, streams, servicer, telemetry)

    def _capabilities(self, directory: Directory, identity: Identity) -> CapabilitiesServicer:
        datacenter = self._configuration.name
        return CapabilitiesServicer(
            identity,
            directory,
            CallProver(datacenter, self._key, identity.name, time.time, secrets.token_bytes),
            CallVerifier(datacenter, self._key, identity.address, time.time),
            lambda capability: self._guard.verify_to_revoke(capability, time.time()),
            lambda revocation: self._guard.revoke([revocation]),
        )

    def _journal(self) -> Journal | None:
        if self._clients is None:
            return None
        return Journal(self._configuration.journal_path, full_sync=self._configuration.journal_sync == "full")

    def _state_folder(self, journal: Journal | None) -> Path | None:
        """Where the durable state is, if the node has any."""
        if journal is not None:
            return self._configuration.journal_path
        return self._adaptor.state_folder if self._adaptor is not None else None

    def _custody(self, identity: Identity, journal: Journal | None) -> Custody | None:
        """How this node becomes the owner of what it works on, if that is something durable."""
        adaptor = self._adaptor
        folder = self._state_folder(journal)
        if folder is None:
            return None

        def recover(epoch: int) -> Owned:
            if journal is not None:
                return Owned(epoch, *journal.open(time.time()))
            assert adaptor is not None
            adaptor.recover()
            return Owned(epoch)

        return Custody(Ownership(folder, self._configuration.name, identity.address, identity.name), recover)

    async def _stop(self, server: grpc.aio.Server, local: LocalListener, directory: Directory, parts: _Parts) -> None:
        """Leave the directory first, so that nothing new comes, then end what has begun.

        Before that it gives back what a successor of the same name needs, which may start as soon as the name is free.
        """
        log.info("stopping")
        await self._health.enter_graceful_shutdown()
        await parts.telemetry.close_metrics()
        await directory.close()
        deadline = time.monotonic() + DRAIN_S
        while parts.controller.engine.waiting() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        await parts.transport.close()
        await parts.capabilities.close()
        await server.stop(0.2)
        await local.close()
        await parts.controller.close()
        await parts.telemetry.close()
        await parts.memory.close()
        parts.network.close()


async def _first_of(task: asyncio.Task[_Parts], stop: asyncio.Event) -> None:
    """Wait for a task, or end it when the node is told to stop."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
        # A start that was cut short may still have failed for a reason of its own; nobody is left to act on it.


def _allow_descriptors() -> None:
    """Each Memory object, and each that is mapped, takes a descriptor: as many as the system lets this user have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit than it names
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
