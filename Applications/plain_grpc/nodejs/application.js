// An application in Node.js: asks a node how it is, calls it directly, submits a task graph and watches it to its end.
import { randomBytes } from 'node:crypto';
import { addressOf, call, capabilityFor, connect, fromBigInteger, health, mockdc, toBigInteger } from './datacenter.js';

const { Application } = mockdc.application.v1;
const { Capability, Graph } = mockdc.fractos.v1;
const { Math: MathNode } = mockdc.math.v1;
const { Storage } = mockdc.storage.v1;

async function callDirectly(address) {
  const { status } = await call(connect(health.v1.Health, address), 'Check', {});
  console.log(`the math node is ${status}`);
  const { value } = await call(connect(MathNode, address, capabilityFor('math')), 'Factorial', { n: toBigInteger(20n) });
  console.log(`20! = ${fromBigInteger(value)}`);
}

// Steps hop from node to node. Arguments that are known are in `arguments`; an edge binds an output to an argument of a later step.
// Each node asks for what allows its step: here the client's own capability for nodes of that type.
function doubledFactorial() {
  const shift = { bits: toBigInteger(1n) };
  const write = { client_id: process.env.MOCKDC_CLIENT ?? 'admin', name: 'doubled.txt' };
  const value = [{ source: 'value', target: 'value' }];
  const steps = [
    { operation: 'math.factorial', arguments: MathNode.service.Factorial.requestSerialize({ n: toBigInteger(20n) }) },
    { operation: 'math.shift_left', arguments: MathNode.service.ShiftLeft.requestSerialize(shift) },
    { operation: 'storage.write_integer', arguments: Storage.service.WriteInteger.requestSerialize(write) },
  ];
  const edges = [[{ to: 1, bindings: value }], [{ to: 2, bindings: value }], []];
  const capability = ({ operation }) => Capability.deserialize(capabilityFor(operation.split('.')[0]));
  return { name: 'from Node.js', steps: steps.map((step, id) => ({ id, ...step, edges: edges[id], capability: capability(step) })) };
}

async function run(application, graph) {
  const run_id = randomBytes(16);
  await call(application, 'Submit', { run_id, timeout_s: 30, graph: Graph.serialize(graph) });
  let last;
  for await (const seen of application.Watch({ run_id })) last = seen;
  return last;
}

try {
  await callDirectly(addressOf('math'));
  const graph = doubledFactorial();
  const { state, result } = await run(connect(Application, addressOf('application'), capabilityFor('application')), graph);
  console.log(`the run has ${state}`);
  if (result.failure) throw new Error(result.failure.message);
  for (const hop of result.trail) console.log(`  ${graph.steps[hop.step].operation} on ${hop.node}`);
  const doubled = MathNode.service.ShiftLeft.responseDeserialize(result.trail[1].output);
  console.log(`2 * 20! = ${fromBigInteger(doubled.value)}`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
