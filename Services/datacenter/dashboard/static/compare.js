// The same example as a ring, a fast-star and a star, side by side: who sends what to whom, in which order, and the bill.

import { button, h, s } from './dom.js';
import { along, line, outward, path } from './layout.js';
import { bytes, duration, number } from './words.js';

const WIDTH = 300;
const HEIGHT = 216;
const BOX = { width: 92, height: 26 };
const HOP_MS = 800;
const ABOUT = {
  ring: 'each device sends the run on',
  'fast-star': 'control through the centre, values direct',
  star: 'control and values through the centre',
};

export function comparison(result) {
  const runs = Object.entries(result.topologies);
  const most = (key) => Math.max(1, ...runs.map(([, run]) => run.total?.[key] || 0));
  return [
    h('div', { class: 'head' }, h('h2', {}, `${result.example}, three ways`),
      h('p', { class: 'buttons' }, button('Replay', 'replay', {}), button('Close', 'close-comparison', {}))),
    h('div', { class: 'three' }, runs.map(([topology, run]) => h('article', { 'data-key': topology },
      h('h3', {}, topology, ' ', h('small', {}, ABOUT[topology])),
      diagram(topology, run),
      run.total ? h('dl', {},
        bar('hops', number(run.total.hops), run.total.hops / most('hops')),
        bar('values', bytes(run.total.value_bytes), run.total.value_bytes / most('value_bytes')),
        bar('all bytes', bytes(run.total.total_bytes), run.total.total_bytes / most('total_bytes')),
        bar('time', duration(run.duration_s), run.duration_s / Math.max(...runs.map(([, one]) => one.duration_s || 0)))) : null,
      h('p', { class: 'buttons' }, button('Waterfall and bill', 'select-run', { 'data-run': run.run })))))
  ];
}

function bar(name, text, share) {
  return [h('dt', {}, name), h('dd', {}, s('svg', { class: 'bar', viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    s('rect', { width: Math.max(1, share * 100), height: 8, rx: 2 })), h('span', {}, text))];
}

/** The messages of a run in their order: a value that is fetched goes with the step that needs it. */
function ordered(run) {
  const order = new Map();
  for (const [index, step] of [...run.steps].filter((one) => one.hop).sort((a, b) => a.hop.started_at - b.hop.started_at).entries()) order.set(step.step, index);
  const rank = (message) => {
    if (message.kind === 'request') return 2 * order.get(message.to_step);
    if (message.kind === 'memory') return message.to_step === null ? Infinity : 2 * order.get(message.to_step) + 0.5;
    return 2 * (order.get(message.from_step) ?? run.steps.length) + 1;
  };
  return [...run.messages].sort((a, b) => rank(a) - rank(b));
}

function placesOf(run, messages) {
  const home = messages.find((one) => one.kind === 'completion')?.target || '';
  const devices = [...new Set(messages.flatMap((one) => [one.source, one.target]))].filter((name) => name && name !== home);
  devices.sort();
  const places = new Map([[home, { ...BOX, x: WIDTH / 2, y: 24 }]]);
  devices.forEach((name, index) => {
    const angle = -Math.PI / 2 - ((index + 1) * 2 * Math.PI) / (devices.length + 1);
    places.set(name, { ...BOX, x: WIDTH / 2 + Math.cos(angle) * (WIDTH / 2 - 52), y: HEIGHT / 2 + outward(Math.sin(angle)) * (HEIGHT / 2 - 24) });
  });
  return places;
}

function diagram(topology, run) {
  const messages = ordered(run);
  const places = placesOf(run, messages);
  const keyOf = (one) => `${one.source}>${one.target}`;
  const drawn = new Map();
  return s('svg', { class: 'small-map', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'data-topology': topology,
    'aria-label': messages.map((one) => `${one.kind} from ${one.source} to ${one.target}, ${one.bytes} bytes`).join('; ') },
  messages.map((one, index) => {
    const way = line(places.get(one.source), places.get(one.target));
    const nth = (drawn.get(keyOf(one)) || 0) + 1;
    drawn.set(keyOf(one), nth);
    const at = along(way, nth / (messages.filter((other) => keyOf(other) === keyOf(one)).length + 1));
    return s('g', { class: `message ${one.kind}` }, s('title', {}, `${one.kind}: ${one.source} → ${one.target}, ${bytes(one.bytes)}`),
      s('path', { d: path(way) }), s('circle', { cx: at.x.toFixed(1), cy: at.y.toFixed(1), r: 7.5 }),
      s('text', { x: at.x.toFixed(1), y: (at.y + 3.5).toFixed(1), 'text-anchor': 'middle' }, index + 1));
  }),
  s('circle', { class: 'dot', r: 5, cx: -20, cy: -20 }),
  [...places].map(([name, place]) => s('g', { class: `type-${name.split('-')[0]}`, transform: `translate(${place.x - BOX.width / 2} ${place.y - BOX.height / 2})` },
    s('rect', { class: 'box', ...BOX, rx: 8 }), s('text', { x: BOX.width / 2, y: 17, 'text-anchor': 'middle' }, name))));
}

/** Show again how the messages went, in all three at the same pace. */
export function replay(section, result) {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return;
  const began = performance.now();
  const shows = Object.entries(result.topologies).map(([topology, run]) => {
    const messages = ordered(run);
    const places = placesOf(run, messages);
    return { dot: section.querySelector(`[data-topology="${topology}"] .dot`), ways: messages.map((one) => line(places.get(one.source), places.get(one.target))) };
  });
  const tick = (now) => {
    const hop = (now - began) / HOP_MS;
    let going = false;
    for (const { dot, ways } of shows) {
      const way = ways[Math.floor(hop)];
      const at = way ? along(way, hop % 1) : { x: -20, y: -20 };
      going ||= Boolean(way);
      dot?.setAttribute('cx', at.x.toFixed(1));
      dot?.setAttribute('cy', at.y.toFixed(1));
    }
    if (going && section.isConnected && !section.hidden) requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}
