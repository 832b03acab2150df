// What comes with an error: which argument is wrong (BadRequest), where it was (ErrorInfo), when to come again (RetryInfo).
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import grpc from '@grpc/grpc-js';
import { addressOf, call, capabilityFor, connect, google, mockdc, toBigInteger } from './datacenter.js';

const { Application } = mockdc.application.v1;
const { Capability, Graph } = mockdc.fractos.v1;
const { Math: MathNode } = mockdc.math.v1;
const { BinomialExpansion } = MathNode.service;

// The google.rpc messages that came with an error, by name: { ErrorInfo: { reason, domain, metadata }, … }.
function detailsOf(error) {
  const [trailer] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const details = {};
  for (const { type_url, value } of trailer ? google.rpc.Status.deserialize(trailer).details : []) {
    const name = type_url.split('.').pop();
    if (google.rpc[name]) details[name] = google.rpc[name].deserialize(value);
  }
  return details;
}

async function askForTheImpossible(math) {
  try {
    await call(math, 'Factorial', { n: toBigInteger(-1n) });
  } catch (error) {
    const { ErrorInfo, BadRequest } = detailsOf(error);
    if (!ErrorInfo) throw error;
    console.log(`${grpc.status[error.code]} (${ErrorInfo.reason}) from ${ErrorInfo.metadata.node}`);
    for (const { field, description } of BadRequest.field_violations) console.log(`  ${field}: ${description}`);
  }
}

// A run of a thousand slow steps, one after the other: ten of them fill the math nodes.
function longRun() {
  const slow = { a: toBigInteger(3n), b: toBigInteger(4n), n: toBigInteger(9999n) };
  const capability = Capability.deserialize(capabilityFor('math'));
  const step = { operation: 'math.binomial_expansion', arguments: BinomialExpansion.requestSerialize(slow), capability };
  const steps = Array.from({ length: 1000 }, (_, id) => ({ id, ...step, edges: id < 999 ? [{ to: id + 1 }] : [] }));
  return { run_id: randomBytes(16), timeout_s: 60, graph: Graph.serialize({ name: 'long', steps }) };
}

// Submits a run, and if there is no room for it, again after the time that the application node names.
async function submitPatiently(application, run, whenRefused) {
  for (;;) {
    try {
      return await call(application, 'Submit', run);
    } catch (error) {
      const { RetryInfo } = detailsOf(error);
      if (!RetryInfo) throw error;
      const delayS = RetryInfo.retry_delay.seconds + RetryInfo.retry_delay.nanos / 1e9;
      await whenRefused(error, delayS);
      await sleep(delayS * 1000);
    }
  }
}

async function fillTheDatacenter(application) {
  const runs = Array.from({ length: 10 }, longRun);
  const cancel = ({ run_id }) => call(application, 'Cancel', { run_id });
  const last = longRun();
  try {
    for (const run of runs) await call(application, 'Submit', run);
    let refusals = 0;
    await submitPatiently(application, last, async (error, delayS) => {
      if (refusals++ === 0) console.log(`${grpc.status[error.code]}: come again in ${delayS} s`);
      await Promise.all(runs.map(cancel));
    });
    console.log('accepted at last');
  } finally {
    await Promise.allSettled([...runs, last].map(cancel));
  }
}

try {
  await askForTheImpossible(connect(MathNode, addressOf('math'), capabilityFor('math')));
  await fillTheDatacenter(connect(Application, addressOf('application'), capabilityFor('application')));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
