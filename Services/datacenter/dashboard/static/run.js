// One run: its steps in time, why it was repeated, what it has cost each link.

import { button, h, s } from './dom.js';
import { bytes, duration, number, operation, time } from './words.js';

const ROW = 26;
const NAME = 104; // pixels for the names of the steps
const WIDTH = 372;

export function runPanel(run) {
  if (run.trouble) return [h('h2', {}, `Run ${run.run.slice(0, 8)}`), h('p', { class: 'hint' }, run.trouble)];
  return [
    h('h2', {}, run.name, ' ', h('small', {}, run.topology)),
    h('p', { class: `state ${run.state}` },
      `${run.state} · ${duration(run.duration_s)} · since ${time(run.at)} · client ${run.client || 'anybody'}`),
    h('p', { class: 'id' }, run.run),
    run.failure ? failure(run.failure) : null,
    run.attempts.length > 1 ? attempts(run.attempts) : null,
    h('h3', {}, 'Where the time went'),
    waterfall(run),
    legend(),
    run.total ? [h('h3', {}, 'The bill'), bill(run)] : null,
    h('p', { class: 'buttons' }, button('Back to the datacenter', 'select-nothing', {})),
  ];
}

function failure(one) {
  return h('div', { class: 'failure' },
    h('p', {}, h('strong', {}, one.status), ' ', one.message),
    one.node ? h('p', {}, `${operation(one.operation)} at ${one.node}`) : null,
    one.causes.map((cause) => h('p', { class: 'hint' }, `caused by ${cause}`)));
}

function attempts(all) {
  return [h('h3', {}, 'Attempts'), h('ol', { class: 'attempts' }, all.map((one) =>
    h('li', {}, `${time(one.began_at)} from ${one.home}`, one.reason ? h('span', { class: 'bad' }, ` — ${one.reason}`) : null)))];
}

/** A bar for each step: on its way, waiting, at the device. The steps that decided when the run ended have strong names. */
function waterfall(run) {
  const steps = run.steps;
  const hops = steps.map((step) => step.hop).filter(Boolean);
  const first = Math.min(run.at, ...hops.map((hop) => hop.sent_at));
  const last = Math.max(first + run.duration_s, ...hops.map((hop) => hop.finished_at));
  const scale = (WIDTH - NAME - 8) / Math.max(last - first, 1e-6);
  const x = (at) => NAME + (at - first) * scale;
  const critical = new Set(run.critical);
  const height = steps.length * ROW + 24;
  return h('div', { class: 'scroll' }, s(
    'svg', { class: 'waterfall', viewBox: `0 0 ${WIDTH} ${height}`, role: 'img', 'aria-label': describe(run) },
    ticks(last - first).map((at) => s('g', { class: 'tick' },
      s('line', { x1: x(first + at), x2: x(first + at), y1: 0, y2: height - 16 }),
      s('text', { x: x(first + at), y: height - 4, 'text-anchor': at ? 'middle' : 'start' }, at ? duration(at) : '0'))),
    run.attempts.slice(1).map((one) => s('line', { class: 'attempt', x1: x(one.began_at), x2: x(one.began_at), y1: 0, y2: height - 16 })),
    steps.map((step, row) => s('g', { transform: `translate(0 ${row * ROW})`, class: `step ${step.state}${critical.has(step.step) ? ' critical' : ''}` },
      s('text', { x: 0, y: 11 }, operation(step.operation)),
      s('text', { class: 'where', x: 0, y: 22 }, step.hop ? step.hop.node : step.state === 'open' ? 'not known to be done' : step.state),
      step.hop ? bars(step.hop, x) : null)),
  ));
}

function bars(hop, x) {
  const parts = [['wire', hop.sent_at, hop.received_at], ['wait', hop.received_at, hop.started_at], ['device', hop.started_at, hop.finished_at]];
  return parts.map(([kind, from, to]) => s('rect', { class: kind, x: x(from), y: 5, height: 14, rx: 2, width: Math.max(1.5, x(to) - x(from)) },
    s('title', {}, `${kind}: ${duration(Math.max(0, to - from))}`)));
}

function legend() {
  return h('ul', { class: 'legend' }, [['wire', 'on its way'], ['wait', 'waiting, fetching Memory'], ['device', 'at the device']].map(
    ([kind, text]) => h('li', {}, h('span', { class: `swatch ${kind}` }), text)));
}

function ticks(seconds) {
  const raw = seconds / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw) || raw;
  const found = [];
  for (let at = 0; at <= seconds * 0.97; at += step) found.push(at);
  return found;
}

function describe(run) {
  return run.steps.map((step) => `${operation(step.operation)}${step.hop
    ? ` at ${step.hop.node}: device ${duration(step.hop.finished_at - step.hop.started_at)}` : `: ${step.state}`}`).join('; ');
}

function bill(run) {
  const all = [['hops', 'hops'], ['frame_bytes', 'frames'], ['argument_bytes', 'values'], ['fetched_bytes', 'fetched'], ['output_bytes', 'outputs']];
  const columns = all.filter(([key]) => run.total[key]);
  const waited = run.bill.filter((charge) => charge.hops || charge.fetched_bytes);
  const rest = run.total.acknowledgements + run.total.finished;
  const cells = (charge) => columns.map(([key]) => h('td', {}, key === 'hops' ? number(charge[key]) : bytes(charge[key])));
  return h('div', { class: 'scroll' }, h('table', { class: 'bill' },
    h('thead', {}, h('tr', {}, h('th', {}, 'link'), columns.map(([, text]) => h('th', {}, text)))),
    h('tbody', {}, waited.map((charge) => h('tr', {}, h('th', { scope: 'row' }, `${charge.source} → ${charge.target}`), cells(charge)))),
    h('tfoot', {}, h('tr', {}, h('th', { scope: 'row' }, 'total'), cells(run.total)))),
  h('p', { class: 'hint' }, `${number(rest)} messages more that nobody waited for: acknowledgements, and that the run is over.`));
}

export function runList(runs, selected, colourOf) {
  return [
    h('h2', {}, 'Runs'),
    runs.length ? h('ul', { class: 'runs' }, runs.slice(0, 14).map((run) => {
      const colour = colourOf(run.run);
      return h('li', { 'data-key': run.run }, button('', 'select-run', {
        'data-run': run.run, class: `plain${selected === run.run ? ' selected' : ''}`, 'aria-pressed': String(selected === run.run),
      },
      h('span', { class: `swatch ${colour === null ? 'none' : `run-${colour}`}` }),
      h('span', { class: 'what' }, run.name),
      h('span', { class: 'topology' }, run.topology),
      h('span', { class: `state ${run.state}` }, run.state + (run.attempt > 1 ? `, attempt ${run.attempt}` : '')),
      h('span', { class: 'took' }, run.ended ? duration(run.ended - run.at) : '…')));
    })) : h('p', { class: 'hint' }, 'None yet. Have an example run, or run a program of your own.'),
  ];
}
