// Where nodes are drawn: those of one type together, the types around an oval, and the lines between them.

const SIZES = [
  { most: 2, width: 156, height: 70, kind: 'card' },
  { most: 6, width: 116, height: 48, kind: 'chip' },
  { most: 20, width: 84, height: 34, kind: 'tag' },
  { most: Infinity, width: 40, height: 22, kind: 'dot' },
];
const GAP = 12;
const MARGIN = 14;
const HEAD = 34; // above and below, for what is said of a node
const BEND = 0.13; // of a line's length: there and back are two lines

/** Places by name: {x, y, width, height, kind}, the middle of each. */
export function places(nodes, width, height) {
  const types = new Map();
  for (const node of nodes) types.set(node.type, [...(types.get(node.type) || []), node.name]);
  const order = [...types.keys()].sort((a, b) => (b === 'application') - (a === 'application'));
  const narrow = width < 560;
  const found = new Map();
  order.forEach((type, index) => {
    const names = types.get(type);
    const start = narrow ? -Math.PI / 2 : Math.PI;
    const angle = start + (index * 2 * Math.PI) / order.length;
    const size = sizeOf(names.length, narrow);
    const upright = Math.abs(Math.cos(angle)) > 0.6;
    const grid = gridOf(names.length, size, upright ? height : narrow ? width : width * 0.62, upright);
    const x = width / 2 + outward(Math.cos(angle)) * (width / 2 - grid.width / 2 - MARGIN);
    const y = height / 2 + outward(Math.sin(angle)) * (height / 2 - grid.height / 2 - HEAD);
    names.forEach((name, place) => {
      const column = upright ? Math.floor(place / grid.rows) : place % grid.columns;
      const row = upright ? place % grid.rows : Math.floor(place / grid.columns);
      found.set(name, {
        ...size,
        x: x - grid.width / 2 + column * (size.width + GAP) + size.width / 2,
        y: y - grid.height / 2 + row * (size.height + GAP) + size.height / 2,
      });
    });
  });
  return found;
}

/** Further from the middle than on a circle: the corners are free. */
export function outward(share) {
  return Math.abs(share) < 1e-9 ? 0 : Math.sign(share) * Math.sqrt(Math.abs(share));
}

function sizeOf(count, narrow) {
  const size = SIZES.find((one) => count <= one.most);
  return narrow && size.kind === 'card' ? { ...size, width: 136, height: 66 } : size;
}

function gridOf(count, size, room, upright) {
  const each = (upright ? size.height : size.width) + GAP;
  const along = Math.max(1, Math.min(count, Math.floor((room - 2 * MARGIN + GAP) / each)));
  const across = Math.ceil(count / along);
  const [columns, rows] = upright ? [across, along] : [along, across];
  return { columns, rows, width: columns * (size.width + GAP) - GAP, height: rows * (size.height + GAP) - GAP };
}

/** The line from one place to another, bent to its left: {from, bend, to}. */
export function line(source, target) {
  const [dx, dy] = [target.x - source.x, target.y - source.y];
  const bend = { x: (source.x + target.x) / 2 - dy * BEND, y: (source.y + target.y) / 2 + dx * BEND };
  return { from: edge(source, bend), bend, to: edge(target, bend) };
}

/** Where the border of a place is crossed on the way to a point. */
function edge(place, point) {
  const [dx, dy] = [point.x - place.x, point.y - place.y];
  const scale = Math.min(
    dx ? (place.width / 2 + 3) / Math.abs(dx) : Infinity,
    dy ? (place.height / 2 + 3) / Math.abs(dy) : Infinity,
    1,
  );
  return { x: place.x + dx * scale, y: place.y + dy * scale };
}

/** The point of a line after a part of the way, from 0 to 1. */
export function along(one, part) {
  const rest = 1 - part;
  const mix = (axis) => rest * rest * one.from[axis] + 2 * rest * part * one.bend[axis] + part * part * one.to[axis];
  return { x: mix('x'), y: mix('y') };
}

/** Where to write beside a line, after a part of the way: on the side to which it is bent. */
export function beside(one, part) {
  const at = along(one, part);
  const [dx, dy] = [one.to.x - one.from.x, one.to.y - one.from.y];
  const length = Math.hypot(dx, dy) || 1;
  const [x, y] = [-dy / length, dx / length];
  return { x: at.x + x * 8, y: at.y + y * 11 + 4, anchor: x > 0.5 ? 'start' : x < -0.5 ? 'end' : 'middle' };
}

export function path(one) {
  const at = ({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  return `M${at(one.from)} Q${at(one.bend)} ${at(one.to)}`;
}
