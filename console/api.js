// Talks to the platform: this tab's API key or token, requests and their problems, idempotent writes that
// are safe to repeat, and money held as whole minor units (text arithmetic only, never floats).

const BASE = '/api/v1';
const KEY_ITEM = 'caudal.key';
const TIMEOUT_MS = 15_000;
const ATTEMPTS_MAX = 3;
const RETRY_WAIT_MAX_S = 5;

// ---- the key: sessionStorage only, so it ends with the tab ----

let key = '';
try { key = sessionStorage.getItem(KEY_ITEM) ?? ''; } catch { /* storage refused: memory only */ }

export const currentKey = () => key;

/** An API key, kept for this tab, or (`keep` false) a user's token, kept in memory. */
export function useKey(text, keep = true) {
  key = text.trim();
  unsettled.clear();
  try {
    if (key && keep) sessionStorage.setItem(KEY_ITEM, key);
    else sessionStorage.removeItem(KEY_ITEM);
  } catch { /* storage refused: memory only */ }
}

/** Takes `#key=…` out of the address bar. Answers the key found, or ''. */
export function keyFromAddress() {
  const found = /^#key=(.+)$/.exec(location.hash)?.[1];
  if (!found) return '';
  history.replaceState(null, '', location.pathname + location.search);
  try { return decodeURIComponent(found); } catch { return found; }
}

/** What an Authorization header can carry at all. */
export const plausibleKey = (text) => /^[\x21-\x7e]{8,4096}$/.test(text.trim());

let onRefusedKey = () => {};
export const whenKeyRefused = (then) => { onRefusedKey = then; };

// ---- requests ----

/** An answer that is not a success (RFC 9457), or no answer at all (status 0). */
export class Problem extends Error {
  constructor(status, body = {}, retryAfterS = 0) {
    super(body.detail || body.title || (status ? `The server answered ${status}.`
      : 'No answer from the server.'));
    this.status = status;
    this.code = body.code ?? (status ? `http_${status}` : 'no_answer');
    this.requestId = body.request_id ?? '';
    this.retryAfterS = retryAfterS;
    // Not known to have been decided: the same request may be sent again under the same key.
    this.undecided = status === 0 || status === 429 || status >= 500
      || (status === 409 && body.retryable === true);
  }
}

async function request(method, path, text, { idempotencyKey, isOpen = false } = {}) {
  const used = isOpen ? '' : key;
  const headers = { Accept: 'application/json' };
  if (used) headers.Authorization = `Bearer ${used}`;
  if (text !== undefined) headers['Content-Type'] = 'application/json';
  if (idempotencyKey) headers['Idempotency-Key'] = idempotencyKey;
  let response, raw;
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    response = await fetch(BASE + path, { method, headers, body: text, signal, cache: 'no-store' });
    raw = await response.text();
  } catch {
    throw new Problem(0);
  }
  let body = {};
  try { body = JSON.parse(raw) ?? {}; } catch { /* not JSON: the status alone speaks */ }
  if (response.ok) {
    return { body, replayed: response.headers.get('Idempotency-Replayed') === 'true' };
  }
  if (response.status === 401 && used && used === key) onRefusedKey();
  throw new Problem(response.status, body, Number(response.headers.get('Retry-After')) || 0);
}

export async function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const search = given.length ? `?${new URLSearchParams(given)}` : '';
  return (await request('GET', path + search)).body;
}

/** A POST of somebody who is nobody yet: without credentials, and once. */
export const send = (path, body) => request('POST', path, JSON.stringify(body), { isOpen: true });

const unsettled = new Map(); // request → its Idempotency-Key, while its outcome is not known

/**
 * Sends a write under a fresh Idempotency-Key and repeats it under the same one while no decision
 * is known. With `remember`, pressing the button again after a lost answer reuses that key too.
 */
export async function post(path, body, { remember = false } = {}) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const name = `${path}\n${text}`;
  const idempotencyKey = unsettled.get(name) ?? uuid();
  for (let attempt = 1; ; attempt += 1) {
    if (remember) unsettled.set(name, idempotencyKey);
    try {
      const answer = await request('POST', path, text, { idempotencyKey });
      unsettled.delete(name);
      return answer;
    } catch (problem) {
      if (!problem.undecided) unsettled.delete(name);
      const waitS = Math.max(problem.retryAfterS, 0.4 * attempt);
      if (!problem.undecided || attempt === ATTEMPTS_MAX || waitS > RETRY_WAIT_MAX_S) throw problem;
      await new Promise((resume) => setTimeout(resume, waitS * 1000));
    }
  }
}

function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID(); // absent on plain HTTP to another host
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

// ---- money ----

// ISO 4217 exponents other than 2. Browsers' own tables differ from ISO for several currencies.
const EXPONENTS = new Map(Object.entries({
  0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF',
  3: 'BHD IQD JOD KWD LYD OMR TND',
  4: 'CLF UYW',
}).flatMap(([digits, codes]) => codes.split(' ').map((code) => [code, Number(digits)])));

const exponent = (currency) => EXPONENTS.get(currency) ?? 2;
const formats = new Map();

/** 105000, 'USD' → '$1,050.00', exactly at any size: the formatter is handed decimal text. */
export function formatMoney(minor, currency, signDisplay = 'auto') {
  if (!Number.isSafeInteger(minor)) return '–';
  const digits = exponent(currency);
  const padded = String(Math.abs(minor)).padStart(digits + 1, '0');
  const whole = padded.slice(0, padded.length - digits);
  const major = (minor < 0 ? '-' : '') + (digits ? `${whole}.${padded.slice(-digits)}` : whole);
  const name = currency + signDisplay;
  try {
    if (!formats.has(name)) {
      formats.set(name, new Intl.NumberFormat(undefined, {
        style: 'currency', currency, signDisplay,
        minimumFractionDigits: digits, maximumFractionDigits: digits,
      }));
    }
    return formats.get(name).format(major);
  } catch {
    return `${major} ${currency}`;
  }
}

/** '10.5', 'USD' → 1050. Throws a RangeError whose message can be shown. */
export function toMinor(text, currency) {
  const parts = /^(\d+)(?:\.(\d+))?$/.exec(text.trim());
  if (!parts) {
    throw new RangeError('Write the amount in digits, with a point before decimals: 1250.50');
  }
  const [, whole, decimals = ''] = parts;
  const digits = exponent(currency);
  if (decimals.length > digits) {
    throw new RangeError(digits ? `${currency} has ${digits} decimals, no more.`
      : `${currency} has no decimals.`);
  }
  const minor = BigInt(whole + decimals.padEnd(digits, '0'));
  if (minor < 1n) throw new RangeError('The amount must be more than zero.');
  if (minor > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError('The amount is too large.');
  return Number(minor);
}
