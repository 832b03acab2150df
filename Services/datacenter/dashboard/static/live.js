// The socket to the server. Each message is asked for once the one before was drawn: a page that is slow or hidden gets fewer,
// and nothing waits for it anywhere.

const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 5000;
const token = document.querySelector('meta[name=token]').content;

export class Live {
  /** `heard` is called with each message, `changed` with "on", "off" or "refused". */
  constructor(heard, changed) {
    this.heard = heard;
    this.changed = changed;
    this.wait = FIRST_WAIT_MS;
    this.looked = {};
    this.open();
  }

  open() {
    this.socket = new WebSocket(`ws://${location.host}/api/live`);
    this.socket.onopen = () => {
      this.wait = FIRST_WAIT_MS;
      this.changed('on');
      this.send({ look: this.looked, next: true });
    };
    this.socket.onmessage = (event) => {
      this.heard(JSON.parse(event.data));
      requestAnimationFrame(() => this.send({ next: true }));
    };
    this.socket.onclose = () => this.again();
  }

  async again() {
    this.changed((await this.isRefused()) ? 'refused' : 'off');
    setTimeout(() => this.open(), this.wait);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
  }

  /** Whether a server is there that does not know this page: the dashboard was started anew. */
  async isRefused() {
    try {
      return (await fetch('/api/live')).status === 401;
    } catch {
      return false;
    }
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Say what the page looks at: {node: NAME}, {run: ID} or {}. */
  look(what) {
    this.looked = what;
    this.send({ look: what });
  }
}

/** Have the server do something. Throws an Error that says why not. */
export async function act(what) {
  const response = await fetch('/api/do', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Dashboard-Token': token },
    body: JSON.stringify(what),
  });
  const text = await response.text();
  let said;
  try {
    said = JSON.parse(text);
  } catch {
    said = { error: text };
  }
  if (!response.ok) throw new Error(said.error || `the dashboard answered ${response.status}`);
  return said;
}
