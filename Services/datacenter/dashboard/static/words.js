// How numbers and times are written.

const BYTES = ['B', 'kB', 'MB', 'GB', 'TB'];

export function bytes(count) {
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < BYTES.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${BYTES[unit]}`;
}

export function number(value) {
  return Math.round(value).toLocaleString('en');
}

export function rate(value) {
  if (!value) return '0';
  if (value >= 1e4) return `${(value / 1e3).toFixed(0)}k`;
  return value < 10 ? value.toFixed(1) : number(value);
}

export function duration(seconds) {
  const ms = seconds * 1e3;
  if (ms < 10) return `${ms.toFixed(2)} ms`;
  if (ms < 1e3) return `${ms.toFixed(1)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function time(at) {
  return new Date(at * 1e3).toLocaleTimeString('en-GB');
}

export function percent(share) {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/** `storage.read_image` → `read_image`. */
export function operation(path) {
  return path.slice(path.indexOf('.') + 1);
}
