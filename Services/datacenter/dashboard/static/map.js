// Draws the nodes and what goes over the links between them.

import { s, show } from './dom.js';
import { DEVICES, icon } from './icons.js';
import { beside, line, path, places } from './layout.js';
import { bytes, rate } from './words.js';

const LABELLED = 10; // links; with more, only those of the selected node have their figures beside them
const REMEMBERED_MS = 8000;
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class TopologyMap {
  /** `svg` is drawn in; `travel` is told where the lines are. */
  constructor(svg, travel) {
    this.svg = svg;
    this.travel = travel;
    this.links = s('g', { id: 'links' });
    this.nodes = s('g', { id: 'nodes' });
    this.places = new Map();
    this.known = new Map(); // link → when it was last told of
    this.narrow = false;
    svg.append(this.links, travel.dots, this.nodes, travel.texts);
    svg.addEventListener('keydown', (event) => this.step(event));
  }

  draw(state, selected) {
    const { width } = this.svg.getBoundingClientRect();
    const height = heightFor(state.nodes, width);
    this.narrow = width < 560;
    this.svg.setAttribute('viewBox', `0 0 ${Math.round(width)} ${height}`);
    this.svg.setAttribute('height', height);
    this.places = places(state.nodes, width, height);
    this.travel.places = this.places;
    this.travel.width = width;
    this.travel.moveMarks();
    show(this.links, this.drawLinks(state, selected));
    show(this.nodes, state.nodes.map((node) => drawNode(node, this.places.get(node.name), selected)));
  }

  drawLinks(state, selected) {
    const links = this.remembered(state.links).filter((link) => this.places.has(link.source) && this.places.has(link.target));
    const ways = links.filter((link) => link.frames_s || link.bytes_s || isChanged(link) || links.length <= 3 * LABELLED);
    const busy = ways.filter((link) => link.frames_s || link.bytes_s).length;
    const taken = [...this.places.values()].map((place) => boxOf(place.x, place.y, place.width, place.height));
    return ways.map((link) => {
      const isSelected = selected.link === pairOf(link) || selected.node === link.source || selected.node === link.target;
      return drawLink(link, line(this.places.get(link.source), this.places.get(link.target)), isSelected, busy <= LABELLED && !this.narrow, taken);
    });
  }

  /** Also the links of a node that has just died: what is still drawn on its way is then on a line. */
  remembered(links) {
    const now = performance.now();
    const found = new Map(links.map((link) => [`${link.source}>${link.target}`, link]));
    for (const key of found.keys()) this.known.set(key, now);
    for (const [key, at] of this.known) {
      const [source, target] = key.split('>');
      if (now - at > REMEMBERED_MS) this.known.delete(key);
      else if (!found.has(key)) found.set(key, { source, target });
    }
    return [...found.values()];
  }

  /** Arrow keys go to the next node in that direction. */
  step(event) {
    const direction = DIRECTIONS[event.key];
    const from = this.places.get(event.target.dataset.node);
    if (!direction || !from) return;
    event.preventDefault();
    let best = null;
    let least = Infinity;
    for (const [name, place] of this.places) {
      const [dx, dy] = [place.x - from.x, place.y - from.y];
      const ahead = dx * direction[0] + dy * direction[1];
      const aside = Math.abs(dx * direction[1]) + Math.abs(dy * direction[0]);
      if (ahead > 1 && ahead + 2 * aside < least) [best, least] = [name, ahead + 2 * aside];
    }
    if (best) this.svg.querySelector(`[data-node="${CSS.escape(best)}"]`).focus();
  }
}

export function pairOf(link) {
  return [link.source, link.target].sort().join(' – ');
}

function isChanged(link) {
  return Boolean(link.cut || link.latency_ms || link.bandwidth_mbit || link.loss);
}

/** What a link is like, in words; empty if nothing is said about it. */
export function shapeOf(link) {
  if (link.cut) return 'cut';
  const parts = [];
  if (link.latency_ms) parts.push(`${link.latency_ms} ms`);
  if (link.bandwidth_mbit) parts.push(`${link.bandwidth_mbit} Mbit/s`);
  if (link.loss) parts.push(`${link.loss * 100} % lost`);
  return parts.join(', ');
}

function heightFor(nodes, width) {
  const counts = new Map();
  for (const node of nodes) counts.set(node.type, (counts.get(node.type) || 0) + 1);
  const most = Math.max(1, ...counts.values());
  return (width < 560 ? 340 + 24 * counts.size : 440) + (most > 6 ? 170 : 0);
}

function drawNode(node, place, selected) {
  const { width, height, kind } = place;
  const said = node.said || {};
  const about = [node.name, DEVICES[node.type] || node.type, node.state];
  if (node.leads) about.push('leader');
  if (said.epoch) about.push(`owner, epoch ${said.epoch}`);
  const isSelected = selected.node === node.name;
  const classes = `node ${kind}${width < 140 ? ' narrow' : ''} type-${known(node.type)} ${node.state}${isSelected ? ' selected' : ''}${node.leads ? ' leads' : ''}`;
  return s(
    'g',
    {
      class: classes, transform: `translate(${(place.x - width / 2).toFixed(1)} ${(place.y - height / 2).toFixed(1)})`,
      tabindex: '0', role: 'button', 'aria-pressed': String(isSelected), 'aria-label': about.join(', '),
      'data-act': 'select-node', 'data-node': node.name, 'data-key': `node ${node.name}`,
    },
    s('title', {}, about.join(', ')),
    s('rect', { class: 'box', width, height, rx: kind === 'dot' ? 6 : 12 }),
    kind === 'card' ? card(node, said, width, height) : small(node, said, width, height, kind),
  );
}

function card(node, said, width, height) {
  const wide = width > 140;
  const marks = [];
  if (node.leads) marks.push(['leader', 'leads']);
  if (said.epoch) marks.push(['owner', 'owns']);
  if (!marks.length && node.state === 'ready') marks.push(['standby', 'stands']);
  if (node.state !== 'ready') marks.splice(0, marks.length, [node.state, 'off']);
  const left = wide ? 46 : 43;
  let x = left;
  const pills = marks.map(([text, kind]) => {
    const length = 10 + text.length * 5.6;
    const pill = s('g', { class: `pill ${kind}`, transform: `translate(${x} 29)` },
      s('rect', { width: length, height: 15, rx: 7.5 }), s('text', { x: length / 2, y: 11 }, text));
    x += length + 4;
    return pill;
  });
  const queue = said.waiting || said.running ? `${said.running} busy${said.waiting ? `, ${said.waiting} waiting` : ''}` : '';
  const pace = node.type === 'application' ? `${rate(said.ended_s)} runs/s` : `${rate(said.done_s)} steps/s`;
  return [
    icon(node.type, wide ? 12 : 9, 12, 26),
    s('text', { class: 'title', x: left, y: 22 }, node.name),
    pills,
    node.said ? s('text', { class: 'pace', x: left, y: height - 11 }, queue && wide ? queue : pace) : null,
    node.said ? meter(said.cpu, 12, height - 26, 20) : null,
  ];
}

function small(node, said, width, height, kind) {
  if (kind === 'dot') {
    return [s('text', { class: 'title', x: width / 2, y: height / 2 + 4, 'text-anchor': 'middle' }, node.name.split('-').pop())];
  }
  const mark = node.leads ? '★ ' : '';
  const label = kind === 'tag' ? node.name.replace(/^(.{7}).*-/, '$1…-') : node.name;
  return [
    kind === 'chip' ? icon(node.type, 8, (height - 22) / 2, 22) : null,
    s('text', { class: 'title', x: kind === 'chip' ? 36 : 8, y: height / 2 + (kind === 'chip' ? -2 : 4) }, mark + label),
    kind === 'chip'
      ? s('text', { class: 'pace', x: 36, y: height / 2 + 13 },
        node.state === 'ready' ? `${rate(said.done_s || said.ended_s || 0)}/s${said.epoch ? ' · owner' : ''}` : node.state)
      : null,
  ];
}

/** How busy the processor is. */
function meter(cpu, x, y, width) {
  const share = Math.min(1, cpu || 0);
  return s('g', { class: `meter${share > 0.85 ? ' full' : ''}`, transform: `translate(${x} ${y})` },
    s('rect', { class: 'groove', width: width + 6, height: 4, rx: 2 }),
    s('rect', { class: 'level', width: (width + 6) * share, height: 4, rx: 2 }),
    s('text', { x: 0, y: 15 }, `${Math.round((cpu || 0) * 100)} %`));
}

function drawLink(link, way, isSelected, labelled, taken) {
  const flow = link.bytes_s || 0;
  const isBusy = Boolean(link.frames_s || flow);
  const classes = ['link', isBusy ? 'busy' : 'idle', link.cut ? 'cut' : '', isSelected ? 'selected' : ''].join(' ');
  const shape = shapeOf(link);
  const figures = isBusy && (labelled || isSelected) ? `${rate(link.frames_s)}/s · ${bytes(flow)}/s` : '';
  const text = [shape && (link.cut ? '✕ cut' : `◷ ${shape}`), link.cut ? '' : figures].filter(Boolean).join('  ');
  const place = text ? freePlace(way, text, taken) : null;
  const d = path(way);
  const about = `${link.source} to ${link.target}: ${rate(link.frames_s)} messages a second${shape ? `, ${shape}` : ''}`;
  return s(
    'g',
    {
      class: classes, 'data-key': `link ${link.source} ${link.target}`, 'data-act': 'select-link', 'data-link': pairOf(link),
      'data-way': `${link.source}>${link.target}`, role: 'button', tabindex: '0', 'aria-label': about,
    },
    s('title', {}, about),
    s('path', { class: 'hit', d }),
    s('path', { class: 'line', d, 'stroke-width': (1.2 + Math.min(3.6, Math.log10(1 + flow / 1000) * 1.1)).toFixed(2) }),
    isBusy && !link.cut ? s('path', { class: 'flow', d }) : null,
    place ? s('text', { x: place.x.toFixed(1), y: place.y.toFixed(1), 'text-anchor': place.anchor }, text) : null,
  );
}

/** Where the text of a link covers neither a node nor another text; null if there is no such place. */
function freePlace(way, text, taken) {
  const width = text.length * 5.5;
  for (const part of [0.42, 0.5, 0.34, 0.58, 0.26, 0.66]) {
    const place = beside(way, part);
    const shift = { start: width / 2, middle: 0, end: -width / 2 }[place.anchor];
    const box = boxOf(place.x + shift, place.y - 4, width, 13);
    if (!taken.some((other) => box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom)) {
      taken.push(box);
      return place;
    }
  }
  return null;
}

function boxOf(x, y, width, height) {
  return { left: x - width / 2, right: x + width / 2, top: y - height / 2, bottom: y + height / 2 };
}

function known(type) {
  return type in DEVICES ? type : 'other';
}
