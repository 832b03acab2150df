// Runs on their way: a dot goes along a line for each message, in the order in which they came. A run takes a few milliseconds, which
// nobody can see, so each message takes a moment here; the order and the path are the real ones.

import { s } from './dom.js';
import { along, line } from './layout.js';
import { operation } from './words.js';

const HOP_MS = 520;
const HURRY_MS = 230; // for a run that has fallen far behind
const MARK_MS = 1100;
const MOST_WAITING = 80; // moves of a run
const MOST_RUNS = 24;
const MOST_MARKS = 40;
const COLOURS = 8;

export class Travel {
  constructor() {
    this.dots = s('g', { class: 'travel', 'aria-hidden': 'true' });
    this.texts = s('g', { class: 'travel', 'aria-hidden': 'true' });
    this.places = new Map();
    this.width = 0;
    this.runs = new Map(); // run → {colour, waiting, dots, ended, seen}
    this.marks = [];
    this.next = 0;
    this.frame = null;
    this.still = matchMedia('(prefers-reduced-motion: reduce)');
  }

  /** The colour of a run that is shown, from 0; null if it is not. */
  colour(run) {
    const found = this.runs.get(run);
    return found ? found.colour : null;
  }

  take(moves) {
    if (document.hidden) return;
    for (const move of moves) {
      const run = this.runOf(move.run);
      if (run && run.waiting.length < MOST_WAITING) run.waiting.push(move);
    }
    this.frame ??= requestAnimationFrame((now) => this.tick(now));
  }

  runOf(id) {
    if (!this.runs.has(id)) {
      if (this.runs.size >= MOST_RUNS) return null;
      this.runs.set(id, { colour: this.next++ % COLOURS, waiting: [], dots: [], ended: false, seen: performance.now() });
    }
    return this.runs.get(id);
  }

  tick(now) {
    for (const [id, run] of this.runs) {
      this.advance(run, now);
      this.begin(run, now);
      const silent = now - run.seen > 20000;
      if (!run.dots.length && !run.waiting.length && (run.ended || silent)) this.runs.delete(id);
    }
    this.marks = this.marks.filter((mark) => {
      if (now < mark.until) return true;
      mark.element.remove();
      return false;
    });
    const busy = this.marks.length || [...this.runs.values()].some((run) => run.dots.length || run.waiting.length);
    this.frame = busy ? requestAnimationFrame((later) => this.tick(later)) : null;
  }

  /** Move the dots of a run; those that have arrived go. */
  advance(run, now) {
    run.dots = run.dots.filter((dot) => {
      const part = Math.min(1, (now - dot.began) / dot.takes);
      const [source, target] = [this.places.get(dot.source), this.places.get(dot.target)];
      if (part >= 1 || !source || !target) {
        dot.element.remove();
        return false;
      }
      const way = line(source, target);
      [0, 0.045, 0.09].forEach((behind, index) => {
        const at = along(way, Math.max(0, ease(part) - behind));
        dot.element.children[index].setAttribute('cx', at.x.toFixed(1));
        dot.element.children[index].setAttribute('cy', at.y.toFixed(1));
      });
      return true;
    });
  }

  /** Begin the moves whose turn it is: what a node sends or does waits until what it got has arrived. */
  begin(run, now) {
    while (run.waiting.length) {
      const move = run.waiting[0];
      const where = move.source || move.node;
      if (run.dots.some((dot) => dot.target === where)) return;
      run.waiting.shift();
      run.seen = now;
      if (move.source && move.source !== move.node) this.send(run, move, now);
      else this.mark(run, move, now);
    }
  }

  send(run, move, now) {
    if (this.still.matches) {
      this.mark(run, move, now);
      return;
    }
    const element = s('g', { class: `dot run-${run.colour}` }, [5.5, 4, 2.8].map((r) => s('circle', { r, cx: -50, cy: -50 })));
    this.dots.append(element);
    const takes = run.waiting.length > 12 ? HURRY_MS : HOP_MS;
    run.dots.push({ element, source: move.source, target: move.node, began: now, takes });
  }

  mark(run, move, now) {
    if (move.kind === 'ended') run.ended = true;
    const place = this.places.get(move.node);
    const text = wordsFor(move);
    if (!place || !text || this.marks.length >= MOST_MARKS) return;
    const bad = move.kind === 'failed' || move.kind === 'repeated' || /^(FAILED|CANCELLED)/.test(move.detail || '');
    const element = s('g', { class: `mark run-${run.colour}${bad ? ' bad' : ''}` },
      s('rect', { class: 'halo', rx: 14 }), s('text', { 'text-anchor': 'middle' }, text));
    const taken = new Set(this.marks.filter((one) => one.node === move.node).map((one) => one.level));
    const level = [0, 1, 2].find((one) => !taken.has(one));
    if (level === undefined) element.lastChild.remove(); // no room for one more text
    const mark = { element, node: move.node, until: now + MARK_MS, level };
    this.place(mark);
    this.texts.append(element);
    this.marks.push(mark);
  }

  place({ element, node, level }) {
    const place = this.places.get(node);
    if (!place) return;
    const [halo, text] = element.children;
    halo.setAttribute('x', place.x - place.width / 2 - 4);
    halo.setAttribute('y', place.y - place.height / 2 - 4);
    halo.setAttribute('width', place.width + 8);
    halo.setAttribute('height', place.height + 8);
    if (!text) return;
    const covers = (other) => other.y < place.y && place.y - other.y < place.height + 40 && Math.abs(other.x - place.x) < place.width;
    const isBelow = [...this.places.values()].some(covers);
    const inward = place.x < this.width / 2 ? 1 : -1;
    text.setAttribute('text-anchor', !isBelow ? 'middle' : inward > 0 ? 'start' : 'end');
    text.setAttribute('x', isBelow ? place.x + inward * (place.width / 2 + 10) : place.x);
    const y = isBelow ? place.y + 4 + (level - 1) * 13 : place.y - place.height / 2 - 9 - level * 13;
    text.setAttribute('y', y);
    text.setAttribute('visibility', y > 9 ? 'visible' : 'hidden');
  }

  /** The nodes have other places. */
  moveMarks() {
    this.marks.forEach((mark) => this.place(mark));
  }
}

function ease(part) {
  return part < 0.5 ? 2 * part * part : 1 - (2 - 2 * part) ** 2 / 2;
}

function wordsFor(move) {
  if (move.kind === 'done') return operation(move.operation || '');
  if (move.kind === 'failed') return `${operation(move.operation || '')} failed`;
  if (move.kind === 'accepted') return move.operation || 'run';
  if (move.kind === 'repeated') return 'once more';
  if (move.kind === 'ended') return (move.detail || '').startsWith('SUCCEEDED') ? '✓ done' : '✕ failed';
  return '';
}
