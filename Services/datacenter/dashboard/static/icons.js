// What each type of node looks like: a disk, a processor, a graphics card, a host. Drawn in a square of 24.

import { s } from './dom.js';

const PATHS = {
  storage: ['M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3Z', 'M4 6v6c0 1.7 3.6 3 8 3s8-1.3 8-3V6', 'M4 12v6c0 1.7 3.6 3 8 3s8-1.3 8-3v-6'],
  math: ['M6 6h12v12H6Z', 'M10 10h4v4h-4Z', 'M9 6V3M15 6V3M9 21v-3M15 21v-3M6 9H3M6 15H3M21 9h-3M21 15h-3'],
  cnn: ['M2 6h18a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H2', 'M2 4v18', 'M5.5 12a3 3 0 1 0 6 0 3 3 0 1 0-6 0', 'M14 12a3 3 0 1 0 6 0 3 3 0 1 0-6 0', 'M6 18v3h9v-3'],
  application: ['M3 4h18v12H3Z', 'M8 21h8M12 16v5', 'M8 8l3 2-3 2M13 12.5h4'],
};
const OTHER = ['M4 4h16v7H4Z', 'M4 13h16v7H4Z', 'M8 7.5h.01M8 16.5h.01'];

export const DEVICES = { storage: 'disk', math: 'CPU', cnn: 'GPU', application: 'host' };

/** The icon of a type of node, its upper left corner at (x, y). */
export function icon(type, x, y, size) {
  const paths = (PATHS[type] || OTHER).map((d) => s('path', { d }));
  return s('g', { class: 'icon', transform: `translate(${x} ${y}) scale(${size / 24})`, 'aria-hidden': 'true' }, paths);
}
