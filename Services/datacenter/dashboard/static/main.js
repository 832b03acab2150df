// The page: what the server tells is kept here, drawn by the other files, and what the user does is done here.

import { comparison, replay } from './compare.js';
import { button, h, show } from './dom.js';
import { DEVICES } from './icons.js';
import { act, Live } from './live.js';
import { TopologyMap } from './map.js';
import { linkPanel, nodePanel, nothing } from './panel.js';
import { runList, runPanel } from './run.js';
import { Travel } from './travel.js';
import { number, rate, time } from './words.js';

const byId = (id) => document.getElementById(id);
const HISTORY = 60; // seconds of a node's processor
const MOST_NOTICES = 40;

const travel = new Travel();
const map = new TopologyMap(byId('map'), travel);
const known = { state: { nodes: [], links: [], servers: [] }, runs: [], notices: [], detail: null, examples: { all: [], again: '' } };
const history = new Map(); // node → how busy its processor was
let selected = {}; // {node}, {link} or {run}
let compared = null;
let busy = '';

window.history.replaceState(null, '', '/'); // the secret leaves the address bar
const live = new Live(heard, connected);

function heard(message) {
  for (const part of ['state', 'runs', 'detail', 'examples']) if (part in message) known[part] = message[part];
  if (message.state) remember(message.state);
  if (message.notices) known.notices = [...known.notices, ...message.notices].slice(-MOST_NOTICES);
  if (message.moves) travel.take(message.moves);
  draw(message);
}

function remember(state) {
  const names = new Set(state.nodes.map((node) => node.name));
  for (const name of history.keys()) if (!names.has(name)) history.delete(name);
  for (const node of state.nodes) history.set(node.name, [...(history.get(node.name) || []), node.said?.cpu || 0].slice(-HISTORY));
}

function draw(message) {
  if (message.state) {
    drawHeader(known.state);
    map.draw(known.state, selected);
  }
  if (message.state || 'detail' in message) drawPanel();
  if (message.runs || message.moves) show(byId('runs'), runList(known.runs, selected.run, (run) => travel.colour(run)));
  if (message.notices) drawNotices();
  if (message.examples || message.state) drawTools();
}

function drawHeader(state) {
  const ready = state.nodes.filter((node) => node.state === 'ready').length;
  byId('name').textContent = state.name || '';
  const status = byId('status');
  status.className = state.up ? 'up' : state.known ? 'down' : '';
  status.textContent = state.trouble || (!state.up && !state.known ? 'looking …' : '')
    || (state.up ? `up: ${ready} of ${state.nodes.length} nodes ready${servers(state)}` : 'down; start it with: python3 run_datacenter.py');
  const sum = (key) => state.nodes.reduce((total, node) => total + (node.said?.[key] || 0), 0);
  const figures = [[rate(sum('ended_s')), 'runs/s'], [number(sum('in_flight')), 'in flight'], [rate(sum('done_s')), 'steps/s'], [number(sum('runs_failed')), 'failed']];
  show(byId('figures'), state.up ? figures.map(([value, name]) => h('span', {}, h('b', {}, value), ` ${name}`)) : []);
  const types = [...new Set(state.nodes.map((node) => node.type))];
  show(byId('legend'), types.map((type) => h('li', {}, h('span', { class: `swatch type-${type in DEVICES ? type : 'other'}` }), `${type}: ${DEVICES[type] || 'node'}`)),
    h('li', {}, 'leader: preferred by Requests'), h('li', {}, 'owner: holds the lock of what is kept'));
}

function servers(state) {
  if (!state.servers.length) return '';
  const well = state.servers.filter((server) => !['dead', 'restarting', 'starting'].includes(server.role)).length;
  return ` · ZooKeeper: ${well} of ${state.servers.length} servers`;
}

function drawPanel() {
  const node = known.state.nodes.find((one) => one.name === selected.node);
  const detail = known.detail;
  let content = nothing();
  if (node) content = nodePanel(node, known.state, detail?.node === node.name ? detail : null, history.get(node.name) || []);
  else if (selected.link) content = linkPanel(selected.link, known.state);
  else if (selected.run) content = detail?.run === selected.run ? runPanel(detail) : [h('h2', {}, 'Run'), h('p', { class: 'hint' }, 'asking …')];
  const log = byId('panel').querySelector('.log');
  const atEnd = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  show(byId('panel'), content);
  const now = byId('panel').querySelector('.log');
  if (now && atEnd) now.scrollTop = now.scrollHeight;
}

function drawNotices() {
  show(byId('notices'), h('h2', {}, 'What has happened'),
    known.notices.length ? null : h('p', { class: 'hint' }, 'Nothing since somebody looks.'),
    h('ol', { reversed: true }, [...known.notices].reverse().map((one) => h('li', { 'data-key': `${one.at} ${one.text}` }, h('time', {}, time(one.at)), ' ', one.text))));
}

function drawTools() {
  const { all, again } = known.examples;
  const choice = byId('tools').querySelector('select')?.value || all[0];
  show(byId('tools'),
    h('label', {}, 'Example ', h('select', { id: 'example' }, all.map((name) => h('option', { value: name, selected: name === choice }, name)))),
    again ? button('Run no more', 'again-off', {}) : button('Run repeatedly', 'again', {}),
    button(busy === 'compare' ? 'Comparing …' : 'Ring, fast-star, star', 'compare', { class: 'main', disabled: busy === 'compare' }),
    known.state.rules?.length
      ? button('Links as configured', 'reset', {})
      : button('Slow all links: 20 ms', 'slow', { 'data-source': '*', 'data-target': '*', 'data-ms': 20 }));
}

function select(what) {
  selected = what;
  known.detail = null;
  live.look(what.link ? {} : what);
  map.draw(known.state, selected);
  drawPanel();
  show(byId('runs'), runList(known.runs, selected.run, (run) => travel.colour(run)));
  if (window.innerWidth < 900 && Object.keys(what).length) byId('panel').scrollIntoView({ block: 'start' });
}

const example = () => byId('example').value;
const ends = ({ source, target }) => ({ source, target });
const actions = {
  'select-node': ({ node }) => select({ node }),
  'select-link': ({ link }) => select({ link }),
  'select-run': ({ run }) => select({ run }),
  'select-nothing': () => select({}),
  kill: ({ node }) => act({ act: 'kill', node }),
  stop: ({ node }) => act({ act: 'stop', node }),
  continue: ({ node }) => act({ act: 'continue', node }),
  restart: ({ node }) => act({ act: 'restart', node }),
  slow: (data) => act({ act: 'slow', ...ends(data), latency_ms: Number(data.ms) }),
  cut: (data) => act({ act: 'cut', ...ends(data) }),
  heal: (data) => act({ act: 'heal', ...ends(data) }),
  reset: () => act({ act: 'reset' }),
  again: () => act({ act: 'again', example: example(), topology: 'ring' }),
  'again-off': () => act({ act: 'again', example: '' }),
  compare,
  replay: () => replay(byId('compare'), compared),
  'close-comparison': () => { byId('compare').hidden = true; },
};

async function compare() {
  busy = 'compare';
  drawTools();
  try {
    compared = await act({ act: 'compare', example: example() });
    const section = byId('compare');
    section.hidden = false;
    show(section, comparison(compared));
    section.scrollIntoView({ block: 'nearest' });
    replay(section, compared);
  } finally {
    busy = '';
    drawTools();
  }
}

async function perform(element) {
  const { act: name, ...data } = element.dataset;
  try {
    await actions[name](data);
    if (!name.startsWith('select')) say('');
  } catch (error) {
    say(error.message);
  }
}

function say(text) {
  const alert = byId('alert');
  alert.hidden = !text;
  show(alert, text ? [h('span', {}, text), button('Dismiss', 'dismiss', {})] : []);
}
actions.dismiss = () => say('');

function connected(how) {
  document.body.classList.toggle('offline', how !== 'on');
  if (how === 'on') return;
  const status = byId('status');
  status.className = 'down';
  status.textContent = how === 'refused'
    ? 'this dashboard was started anew: open the address that it has printed'
    : 'the dashboard does not answer; trying again …';
}

document.addEventListener('click', (event) => {
  const element = event.target.closest('[data-act]');
  if (element && !element.disabled) perform(element);
});
document.addEventListener('keydown', (event) => {
  const element = event.target.closest?.('[data-act]');
  if (element && element.tagName !== 'BUTTON' && (event.key === 'Enter' || event.key === ' ')) {
    event.preventDefault();
    perform(element);
  }
  if (event.key === 'Escape') select({});
});
new ResizeObserver(() => { if (known.state.nodes.length) map.draw(known.state, selected); }).observe(byId('stage'));
drawPanel();
drawNotices();
show(byId('runs'), runList([], null, () => null));
