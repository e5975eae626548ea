// Follows the platform's event stream: server-sent events over fetch (EventSource cannot send an
// Authorization header), resumed with Last-Event-ID, and a meter of how many arrive a second.

const SLOT_MS = 250;
const SLOTS_A_SECOND = 1000 / SLOT_MS;
const SLOTS = 60 * SLOTS_A_SECOND;
const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 15_000;
const SILENCE_MAX_MS = 60_000;
const MESSAGE_MAX_CHARS = 1 << 20;

/** Counts over the last minute in quarter seconds; a rate is the sum of four whole ones. */
export class Meter {
  #whole = new Array(SLOTS).fill(0);
  #underWay = 0;
  #slot = slotNow();
  peak = 0;

  add(count) {
    this.advance();
    this.#underWay += count;
  }

  advance() {
    const slot = slotNow();
    for (let behind = Math.min(slot - this.#slot, SLOTS); behind > 0; behind -= 1) {
      this.#whole.shift();
      this.#whole.push(this.#underWay);
      this.#underWay = 0;
      this.peak = Math.max(this.peak, this.rate());
    }
    this.#slot = slot;
  }

  rate(end = SLOTS) {
    const second = this.#whole.slice(Math.max(0, end - SLOTS_A_SECOND), end);
    return second.reduce((sum, count) => sum + count, 0);
  }

  /** The rate at each quarter second of the last minute, oldest first. */
  series() {
    return this.#whole.map((_, place) => this.rate(place + 1));
  }
}

const slotNow = () => Math.floor(performance.now() / SLOT_MS);

/** Cuts text as it arrives into messages, by the rules of server-sent events. */
export class Parser {
  #rest = '';
  lastId = '';
  retryMs = 0;

  push(text, onMessage) {
    let buffer = this.#rest + text;
    let held = '';
    if (buffer.includes('\r')) {
      if (buffer.endsWith('\r')) { held = '\r'; buffer = buffer.slice(0, -1); }
      buffer = buffer.replace(/\r\n?/g, '\n');
    }
    let start = 0;
    for (let end; (end = buffer.indexOf('\n\n', start)) >= 0; start = end + 2) {
      this.#message(buffer.slice(start, end), onMessage);
    }
    this.#rest = buffer.slice(start) + held;
    if (this.#rest.length > MESSAGE_MAX_CHARS) throw new Error('message too long');
  }

  #message(block, onMessage) {
    let type = 'message';
    let data;
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':');
      const field = colon < 0 ? line : line.slice(0, colon);
      const skip = line[colon + 1] === ' ' ? 2 : 1;
      const value = colon < 0 ? '' : line.slice(colon + skip);
      if (field === 'data') data = data === undefined ? value : `${data}\n${value}`;
      else if (field === 'event') type = value;
      else if (field === 'id' && !value.includes('\0')) this.lastId = value;
      else if (field === 'retry' && /^\d+$/.test(value)) this.retryMs = Number(value);
    }
    if (data !== undefined) onMessage(type, data);
  }
}

/**
 * Keeps one stream open until `stop()`. `onMessage(type, data, isPast)` is called for each message;
 * `isPast` marks what happened before this connection, which says nothing of the present rate.
 * `onState` hears 'connecting', 'live', 'waiting' and, for good, 'refused' with the HTTP status.
 */
export class EventStream {
  #stop = new AbortController();
  #lastId = '';
  #retryMs = 0;

  constructor(url, key, onMessage, onState) {
    Object.assign(this, { url, key, onMessage, onState });
    this.#run();
  }

  stop() {
    this.#stop.abort();
  }

  async #run() {
    const stopped = this.#stop.signal;
    let failures = 0;
    while (!stopped.aborted) {
      this.onState('connecting');
      const opened = performance.now();
      let status = 0;
      try {
        status = await this.#once();
      } catch { /* broken off: resumed below */ }
      if (stopped.aborted) return;
      if (status === 401 || status === 403) return this.onState('refused', status);
      if (status === 400 || status === 410) this.#lastId = ''; // the place to resume at is gone
      failures = performance.now() - opened > 5000 ? 0 : failures + 1;
      const least = Math.max(BACKOFF_MIN_MS, this.#retryMs);
      const limit = Math.min(BACKOFF_MAX_MS, least * 2 ** failures);
      this.onState('waiting');
      await new Promise((go) => setTimeout(go, limit * (0.5 + Math.random() / 2)));
    }
  }

  /** One connection, to its end. Answers the HTTP status. */
  async #once() {
    const silence = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, silence.signal]);
    let watch = setTimeout(() => silence.abort(), SILENCE_MAX_MS);
    const headers = { Accept: 'text/event-stream', Authorization: `Bearer ${this.key}` };
    if (this.#lastId) headers['Last-Event-ID'] = this.#lastId;
    try {
      const response = await fetch(this.url, { headers, signal, cache: 'no-store' });
      if (!response.ok) {
        await response.body?.cancel();
        return response.status;
      }
      this.onState('live');
      const deliver = this.#deliverer(response.headers.get('Date'));
      const parser = new Parser();
      parser.lastId = this.#lastId;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return response.status;
        clearTimeout(watch);
        watch = setTimeout(() => silence.abort(), SILENCE_MAX_MS);
        parser.push(value, deliver);
        this.#lastId = parser.lastId;
        this.#retryMs = parser.retryMs;
      }
    } finally {
      clearTimeout(watch);
    }
  }

  /** Compares by the server's own clock, until the first message of the present. */
  #deliverer(date) {
    const opened = date ? new Date(date).toISOString().slice(0, 19) : '';
    let isPast = opened !== '';
    return (type, data) => {
      if (isPast) {
        const time = /"time"\s*:\s*"([^"]{19})/.exec(data)?.[1];
        isPast = time !== undefined && time < opened;
      }
      this.onMessage(type, data, isPast);
    };
  }
}
