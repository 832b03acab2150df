// What the programs in this folder share: where the nodes are and what allows their use, their contracts, calls with a deadline,
// integers of any size.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = path.resolve(here, '../../..');
const datacenter = process.env.MOCKDC_PATH ?? root; // another folder than this project's
const contracts = ['protos/application.proto', 'protos/math.proto', 'protos/storage.proto', 'health.proto', 'error_details.proto'];

export const { grpc: { health }, google, mockdc } = grpc.loadPackageDefinition(
  protoLoader.loadSync(contracts, {
    includeDirs: [root, path.join(here, 'standard')],
    keepCase: true,
    enums: String,
    longs: Number,
    defaults: true,
  }),
);

// The address of the leader of a type of node.
export function addressOf(type) {
  const command = [path.join(root, 'run_datacenter.py'), 'status', '--json', '--path', datacenter];
  const { stdout, stderr } = spawnSync('python3', command, { encoding: 'utf8' });
  const nodes = stdout ? JSON.parse(stdout).nodes : [];
  const node = nodes.find((one) => one.type === type && one.role === 'leader' && one.state === 'ready');
  if (!node) throw new Error(`no ${type} node is ready; start the datacenter: python3 run_datacenter.py\n${stderr ?? ''}`);
  return node.address;
}

// What allows this client to use the nodes of a type: a serialized mockdc.fractos.v1.Capability. As secret as a password.
export function capabilityFor(type) {
  const name = process.env.MOCKDC_CLIENT ?? 'admin';
  let capabilities;
  try {
    ({ capabilities } = JSON.parse(readFileSync(path.join(datacenter, 'Services/config/clients', `${name}.json`), 'utf8')));
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    throw new Error(`there is no client '${name}' in this datacenter; type: python3 run_datacenter.py clients add ${name}`);
  }
  if (!capabilities[type]) throw new Error(`client '${name}' has no capability for ${type} nodes`);
  return Buffer.from(capabilities[type], 'base64');
}

// A client of a service, each of whose calls carries the capability, where one is needed.
export function connect(Client, address, capability) {
  const carry = (options, next) =>
    new grpc.InterceptingCall(next(options), {
      start(metadata, listener, proceed) {
        metadata.set('mockdc-capability-bin', capability);
        proceed(metadata, listener);
      },
    });
  return new Client(address, grpc.credentials.createInsecure(), { interceptors: capability ? [carry] : [] });
}

// A unary call as a promise. Without a deadline it could wait for as long as a node may take, an hour.
export function call(client, method, request, timeoutS = 30) {
  return new Promise((resolve, reject) => {
    client[method](request, { deadline: Date.now() + timeoutS * 1000 }, (error, response) => {
      if (error) reject(error);
      else resolve(response);
    });
  });
}

// A BigInt as a mockdc.fractos.v1.BigInteger: its sign, and its magnitude in big-endian bytes.
export function toBigInteger(value) {
  const digits = (value < 0n ? -value : value).toString(16);
  const magnitude = value === 0n ? '' : digits.padStart(digits.length + (digits.length % 2), '0');
  return { negative: value < 0n, magnitude: Buffer.from(magnitude, 'hex') };
}

export function fromBigInteger({ negative, magnitude }) {
  const value = BigInt(magnitude.length ? `0x${magnitude.toString('hex')}` : 0);
  return negative ? -value : value;
}
