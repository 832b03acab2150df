// What is selected: a node, or a link. A run has a file of its own.

import { button, h, s } from './dom.js';
import { DEVICES } from './icons.js';
import { pairOf, shapeOf } from './map.js';
import { bytes, duration, number, operation, percent, rate, time } from './words.js';

const SLOW_MS = [5, 50];

export function nothing() {
  return [
    h('h2', {}, 'Nothing selected'),
    h('p', { class: 'hint' }, 'Select a node, a link or a run: with the mouse, or with Tab, the arrow keys and Enter.'),
  ];
}

export function nodePanel(node, state, detail, history) {
  const said = node.said;
  return [
    h('h2', {}, node.name, ' ', h('small', {}, `${DEVICES[node.type] || node.type} · ${node.type}`)),
    h('p', { class: `state ${node.state}` }, stateOf(node)),
    buttons(node),
    said ? figures(node, said, history) : h('p', { class: 'hint' }, 'It does not answer.'),
    linkTable(node.name, state),
    recent(detail),
    h('h3', {}, 'Log'),
    h('pre', { class: 'log', tabindex: '0', 'aria-label': `the end of the log of ${node.name}` }, (detail?.log || []).join('\n') || 'empty'),
  ];
}

function stateOf(node) {
  const words = [node.state];
  if (node.leads) words.push('leader');
  if (node.said?.epoch) words.push(`owner of ${node.said.state_folder || 'its state'}, epoch ${node.said.epoch}`);
  if (node.restarts) words.push(node.restarts === 1 ? 'started again once' : `started again ${node.restarts} times`);
  return words.join(' · ');
}

function buttons(node) {
  const dead = !node.pid;
  const why = node.ours || dead ? null : 'only what `up` has started, for the same user, can be stopped here';
  const attributes = (extra) => ({ 'data-node': node.name, disabled: Boolean(why) || extra, title: why });
  return h('p', { class: 'buttons' },
    button('Kill −9', 'kill', { ...attributes(dead), class: 'danger' }),
    node.state === 'stopped' ? button('Continue', 'continue', attributes(false)) : button('Stop', 'stop', attributes(dead)),
    button(dead ? 'Start' : 'Restart', 'restart', attributes(false)));
}

function figures(node, said, history) {
  const rows = [
    ['processor', `${percent(said.cpu)} of one`, sparkline(history)],
    ['resident', bytes(said.resident)],
    ['at the device', `${said.running} at work, ${said.waiting} waiting`],
    ['steps', `${number(said.done)} done, ${number(said.failed)} failed · ${rate(said.done_s)}/s`],
    ['Memory', `${number(said.memory_objects)} objects, ${bytes(said.memory)} of ${bytes(said.memory_limit)}`,
      h('meter', { min: 0, max: said.memory_limit || 1, value: said.memory, 'aria-label': 'Memory' })],
  ];
  if (node.type === 'application') {
    rows.splice(3, 1, ['runs', `${number(said.in_flight)} in flight, ${number(said.ended)} ended, ${number(said.runs_failed)} failed · ${rate(said.ended_s)}/s`]);
  }
  rows.push(['process', `${node.pid} at ${node.address}, for ${duration(said.up_s)}`]);
  return h('dl', {}, rows.map(([name, text, extra]) => [h('dt', {}, name), h('dd', {}, text, extra ? ' ' : '', extra)]));
}

function sparkline(history) {
  const values = history.slice(-60);
  const most = Math.max(1, ...values);
  const points = values.map((value, index) => `${((index / 59) * 96 + 2).toFixed(1)},${(20 - (value / most) * 17).toFixed(1)}`);
  return s('svg', { class: 'sparkline', viewBox: '0 0 100 22', width: 100, height: 22, role: 'img', 'aria-label': 'processor over the last minute' },
    points.length > 1 ? s('polyline', { points: points.join(' ') }) : null);
}

function recent(detail) {
  const steps = detail?.recent || [];
  return [
    h('h3', {}, 'Last steps'),
    steps.length
      ? h('ul', { class: 'steps' }, steps.map((step) => h('li', { class: step.failed ? 'bad' : '', title: step.failed },
        button(`${time(step.at)}  ${operation(step.operation)}`, 'select-run', { 'data-run': step.run, class: 'plain' }),
        h('span', {}, step.failed ? 'failed' : duration(step.ms / 1e3)))))
      : h('p', { class: 'hint' }, 'None since this page was opened.'),
  ];
}

function linkTable(name, state) {
  const others = state.nodes.filter((node) => node.name !== name && node.address).slice(0, 24);
  if (!others.length) return null;
  const find = (source, target) => state.links.find((link) => link.source === source && link.target === target) || {};
  return [
    h('h3', {}, 'Links'),
    h('table', { class: 'links' }, h('thead', {}, h('tr', {}, h('th', {}, 'to'), h('th', {}, 'out'), h('th', {}, 'in'), h('th', {}, ''))),
      h('tbody', {}, others.map((other) => {
        const [there, back] = [find(name, other.name), find(other.name, name)];
        const pair = pairOf({ source: name, target: other.name });
        return h('tr', { 'data-key': pair },
          h('th', { scope: 'row' }, button(other.name, 'select-link', { 'data-link': pair, class: 'plain' })),
          h('td', {}, `${bytes(there.bytes_s || 0)}/s`), h('td', {}, `${bytes(back.bytes_s || 0)}/s`),
          h('td', { class: 'shape' }, shapeOf(there)));
      }))),
  ];
}

export function linkPanel(pair, state) {
  const [one, other] = pair.split(' – ');
  const find = (source, target) => state.links.find((link) => link.source === source && link.target === target);
  const ways = [[one, other], [other, one]].map(([source, target]) => ({ source, target, ...find(source, target) }));
  const ends = { 'data-source': one, 'data-target': other };
  return [
    h('h2', {}, `${one} ↔ ${other}`),
    h('p', { class: 'hint' }, 'An emulated link: what goes from one node to the other arrives as late as over such a link.'),
    ways.map((way) => [
      h('h3', {}, `${way.source} → ${way.target}`),
      h('dl', {},
        h('dt', {}, 'messages'), h('dd', {}, `${number(way.frames || 0)}, now ${rate(way.frames_s || 0)}/s`),
        h('dt', {}, 'bytes'), h('dd', {}, `${bytes(way.bytes || 0)}, now ${bytes(way.bytes_s || 0)}/s`),
        h('dt', {}, 'link'), h('dd', { class: 'shape' }, shapeOf(way) || 'as fast as this machine')),
    ]),
    h('p', { class: 'buttons' },
      SLOW_MS.map((ms) => button(`Slow: ${ms} ms`, 'slow', { ...ends, 'data-ms': ms })),
      ways.some((way) => way.cut) ? button('Heal', 'heal', ends) : button('Cut', 'cut', { ...ends, class: 'danger' }),
      button('All links as configured', 'reset', {})),
  ];
}
