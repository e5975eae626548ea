// The console page: signing in by password or API key, status, the live rate and its events, wallets with their
// history, and transfers. Data reaches the page through textContent only, so none of it is markup.

import {
  Problem, currentKey, formatMoney, get, keyFromAddress, plausibleKey, post, toMinor, useKey,
  whenKeyRefused,
} from './api.js';
import {
  Session, askForRecovery, clearLogin, codeFromAddress, drawMails, logIn, recover, verifyEmail,
} from './people.js';
import { EventStream, Meter } from './stream.js';

const TICK_MS = 250;
const REFRESH_MIN_MS = 1500;
const PROBE_MS = 5000;
const EVENTS_SHOWN = 20;
const PAGE_WALLETS = 20;
const PAGE_ENTRIES = 25;
const KNOWN_MAX = 200;
const OTHER = 'other';

const $ = (id) => document.getElementById(id);
const count = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const pathOf = (id) => `/wallets/${encodeURIComponent(id)}`;

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setState(node, state, text) {
  node.dataset.state = state;
  setText(node, text);
}

/** Ids sort by time, so their beginnings look alike: the end tells them apart. */
const short = (id) => (id.length > 16 ? `${id.slice(0, 4)}…${id.slice(-6)}` : id);
const nameOf = (wallet) => wallet.name || 'Unnamed wallet';

function timeOf(text, format) {
  const time = new Date(text ?? '');
  return Number.isNaN(time.getTime()) ? '' : format.format(time);
}

// ---- saying how it went ----

function show(out, kind, title, ...details) {
  out.dataset.kind = kind;
  out.replaceChildren(make('strong', '', title), ...details.filter(Boolean));
}

function showFailure(out, failure) {
  if (!(failure instanceof Problem)) return show(out, 'bad', failure.message);
  const code = make('code', '', failure.code);
  const request = failure.requestId && make('small', 'muted', `Request ${failure.requestId}`);
  const advice = failure.undecided
    && make('span', '', 'Sending the same again is safe: it cannot happen twice.');
  show(out, 'bad', failure.message, code, advice, request);
}

let toastEnds;
function toast(text, kind = 'good') {
  clearTimeout(toastEnds);
  $('toast').dataset.kind = kind;
  $('toast').textContent = text;
  toastEnds = setTimeout(() => { $('toast').textContent = ''; }, 6000);
}

/** Runs `send` on submit, once at a time, and shows what it throws. */
function onSubmit(form, out, send) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (form.ariaBusy === 'true') return;
    form.ariaBusy = 'true';
    out.replaceChildren();
    try {
      await send();
    } catch (failure) {
      showFailure(out, failure);
    } finally {
      form.ariaBusy = 'false';
    }
  });
}

// ---- the rate and the latest events ----

const live = { transfers: new Meter(), all: new Meter(), seen: 0, recent: [], drawn: null };
const touched = new Set();
let stream;

function onMessage(type, data, isPast) {
  const isTransfer = type.startsWith('transfer.');
  if (!isPast) {
    live.all.add(1);
    if (isTransfer) { live.transfers.add(1); live.seen += 1; }
  }
  live.recent.push({ type, data });
  if (live.recent.length > EVENTS_SHOWN) live.recent.shift();
  for (const [id] of data.matchAll(/\bwal_\w+/g)) {
    if (wallets.rows.has(id) || id === panel.id) touched.add(id);
  }
  if (type === 'wallet.created' && wallets.cursors.length === 1) touched.add('');
}

function drawRate() {
  live.all.advance();
  live.transfers.advance();
  setText($('tps'), count.format(live.transfers.rate()));
  setText($('peak'), count.format(live.transfers.peak));
  setText($('eps'), count.format(live.all.rate()));
  setText($('seen'), count.format(live.seen));
  const rates = live.transfers.series();
  const top = roundUp(Math.max(10, ...rates));
  setText($('spark-top'), count.format(top));
  const line = rates.map((rate, x) => `${x} ${(99 - (98 * rate) / top).toFixed(1)}`).join('L');
  $('spark-line').setAttribute('d', `M${line}`);
  $('spark-area').setAttribute('d', `M0 100L${line}L${rates.length - 1} 100Z`);
}

/** The next 1, 2 or 5 times a power of ten. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

const eventRows = Array.from({ length: EVENTS_SHOWN }, () => {
  const parts = ['kind', 'money', 'what', 'time'].map((name) => make('span', name));
  return { row: make('li', '', ...parts), parts };
});

function drawEvents() {
  const latest = live.recent.at(-1);
  if (latest === live.drawn || $('events-pause').ariaPressed === 'true') return;
  live.drawn = latest;
  $('events-note').hidden = true;
  live.recent.toReversed().forEach(({ type, data }, place) => {
    const { row, parts: [kind, money, what, time] } = eventRows[place];
    let event = {};
    try { event = JSON.parse(data) ?? {}; } catch { /* shown by its type alone */ }
    const { amount, currency } = event.data ?? {};
    row.dataset.family = type.split('.')[0];
    setText(kind, type);
    setText(money, currency && amount !== undefined ? formatMoney(amount, currency) : '');
    setText(what, short(String(event.subject ?? event.id ?? '')));
    setText(time, timeOf(event.time, clock));
    if (!row.isConnected) $('event-rows').append(row);
  });
}

function onStreamState(state, status) {
  const said = {
    connecting: ['wait', 'Stream connecting'],
    live: ['good', 'Stream live'],
    waiting: ['warn', 'Stream reconnecting'],
    refused: ['bad', 'Stream refused'],
  }[state];
  setState($('stream'), ...said);
  if (state === 'live') touched.add(''); // what changed meanwhile
  if (status === 401) forget('You are no longer signed in here. Sign in again.');
  if (status === 403) toast('This key may not read events, so the page is not live.', 'bad');
}

// ---- wallets ----

const wallets = { cursors: [''], next: '', rows: new Map(), turn: 0, refreshedAt: 0 };
const known = new Map(); // the wallets seen lately, for the transfer form

function remember(wallet) {
  known.delete(wallet.id);
  known.set(wallet.id, wallet);
  if (known.size > KNOWN_MAX) known.delete(known.keys().next().value);
}

async function loadWallets() {
  const turn = ++wallets.turn;
  wallets.refreshedAt = performance.now();
  let page;
  try {
    page = await get('/wallets', { limit: PAGE_WALLETS, cursor: wallets.cursors.at(-1) });
  } catch (failure) {
    if (turn === wallets.turn) show($('wallets-note'), 'bad', failure.message);
    return;
  }
  if (turn !== wallets.turn) return;
  wallets.next = page.has_more ? page.next_cursor : '';
  page.data.toReversed().forEach(remember);
  drawWallets(page.data);
  fillPickers();
}

function drawWallets(list) {
  const rows = new Map(list.map(({ id }) => [id, wallets.rows.get(id) ?? walletRow(id)]));
  list.forEach((wallet) => drawWallet(rows.get(wallet.id), wallet));
  if ([...rows.keys()].join() !== [...wallets.rows.keys()].join()) {
    const focused = document.activeElement;
    $('wallet-rows').replaceChildren(...rows.values());
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  }
  wallets.rows = rows;
  $('wallets-note').removeAttribute('data-kind');
  setText($('wallets-note'), list.length ? '' : 'No wallets yet. Create the first one.');
  $('page-back').disabled = wallets.cursors.length === 1;
  $('page-next').disabled = !wallets.next;
  setText($('page-number'), `Page ${wallets.cursors.length}`);
}

function walletRow(id) {
  const row = $('wallet-row').content.firstElementChild.cloneNode(true);
  row.dataset.id = id;
  const code = row.querySelector('code');
  code.textContent = short(id);
  code.title = id;
  return row;
}

function drawWallet(row, wallet) {
  const { currency, balance = {}, status } = wallet;
  const name = nameOf(wallet);
  const act = (what) => row.querySelector(`[data-act=${what}]`);
  const [available, held, total] = row.querySelectorAll('.num');
  setText(act('history'), name);
  setText(row.querySelector('.currency'), currency);
  for (const [cell, minor] of [
    [available, balance.available], [held, balance.held], [total, balance.total],
  ]) {
    setText(cell, formatMoney(minor, currency));
    cell.classList.toggle('long', cell.textContent.length > 15);
  }
  setState(row.querySelector('.state'), status, status);

  const freeze = status === 'frozen' ? 'Unfreeze' : 'Freeze';
  setText(act('freeze'), freeze);
  act('freeze').hidden = act('fund').hidden = status === 'closed';
  act('history').ariaLabel = `${name}, history`;
  act('copy').ariaLabel = `Copy the id of ${name}`;
  act('fund').ariaLabel = `Fund ${name}`;
  act('freeze').ariaLabel = `${freeze} ${name}`;
}

const acts = {
  history: (id) => panel.open(id),
  fund: (id) => openFund(known.get(id)),
  async copy(id) {
    try {
      await navigator.clipboard.writeText(id);
      toast('Id copied.');
    } catch {
      toast(id); // no clipboard outside a secure context: at least show it whole
    }
  },
  async freeze(id) {
    const frozen = known.get(id).status === 'frozen';
    try {
      await post(`${pathOf(id)}/${frozen ? 'unfreeze' : 'freeze'}`);
      toast(frozen ? 'Wallet unfrozen.' : 'Wallet frozen: no debits until it is unfrozen.');
    } catch (failure) {
      toast(`${failure.message} (${failure.code})`, 'bad');
    }
    await loadWallets();
  },
};

function turnPage(forward) {
  if (forward) wallets.cursors.push(wallets.next);
  else wallets.cursors.pop();
  $('page-back').disabled = $('page-next').disabled = true;
  loadWallets();
}

async function createWallet() {
  const currency = $('wallet-currency').value.trim().toUpperCase();
  const name = $('wallet-name').value.trim();
  if (!/^[A-Z]{3}$/.test(currency)) throw new RangeError('A currency is three letters: USD');
  const { body } = await post('/wallets', { currency, ...(name && { name }) }, { remember: true });
  $('wallet-dialog').close();
  $('wallet-name').value = '';
  toast(`${nameOf(body)} created.`);
  wallets.cursors = [''];
  await loadWallets();
}

let funding;
function openFund(wallet) {
  funding = wallet;
  $('fund-wallet').textContent = `${nameOf(wallet)} · ${short(wallet.id)}`;
  $('fund-currency').textContent = wallet.currency;
  $('fund-result').replaceChildren();
  $('fund-dialog').showModal();
}

async function fund() {
  const { id, currency } = funding;
  const amount = toMinor($('fund-amount').value, currency);
  const order = { amount, currency, source: 'treasury' };
  const { replayed } = await post(`${pathOf(id)}/fund`, order, { remember: true });
  $('fund-dialog').close();
  $('fund-amount').value = '';
  const added = formatMoney(amount, currency);
  toast(replayed ? 'An earlier try had already added it.' : `${added} added.`);
  await loadWallets();
}

// ---- one wallet's history ----

const panel = {
  id: '', turn: 0, pages: 0, next: '',

  open(id) {
    Object.assign(panel, { id, pages: 0, next: '' });
    $('panel-entries').replaceChildren();
    panel.drawFacts();
    $('panel').showModal();
    panel.load();
  },

  drawFacts() {
    const wallet = known.get(panel.id);
    if (!wallet) return;
    setText($('panel-title'), nameOf(wallet));
    setText($('panel-id'), wallet.id);
    $('panel-facts').replaceChildren(...['available', 'held', 'pending', 'total'].map((part) => {
      const money = formatMoney(wallet.balance?.[part], wallet.currency);
      return make('div', '', make('dt', '', part), make('dd', '', money));
    }));
  },

  /** The newest page, or with `earlier` the one after those shown. */
  async load(earlier = false) {
    const turn = ++panel.turn;
    const cursor = earlier ? panel.next : '';
    let page;
    try {
      page = await get(`${pathOf(panel.id)}/entries`, { limit: PAGE_ENTRIES, cursor });
    } catch (failure) {
      if (turn === panel.turn) show($('panel-note'), 'bad', failure.message);
      return;
    }
    if (turn !== panel.turn) return;
    panel.pages = earlier ? panel.pages + 1 : 1;
    panel.next = page.has_more ? page.next_cursor : '';
    const { currency } = known.get(panel.id) ?? {};
    const rows = page.data.map((entry) => entryRow(entry, currency));
    if (earlier) $('panel-entries').append(...rows);
    else $('panel-entries').replaceChildren(...rows);
    const isEmpty = !$('panel-entries').childElementCount;
    $('panel-note').removeAttribute('data-kind');
    setText($('panel-note'), isEmpty ? 'No money has moved here yet.' : '');
    $('panel-more').hidden = !panel.next;
  },
};

function entryRow(entry, currency) {
  const transfer = make('code', '', short(entry.transfer_id ?? entry.id));
  transfer.title = entry.transfer_id ?? entry.id;
  const held = entry.held_after ? ` · held ${formatMoney(entry.held_after, currency)}` : '';
  const after = `Balance ${formatMoney(entry.balance_after, currency)}${held}`;
  const amount = make('span', 'money', formatMoney(entry.amount, currency, 'exceptZero'));
  amount.dataset.sign = Math.sign(entry.amount);
  const time = make('span', 'time', timeOf(entry.created_at, dateTime));
  return make('li', '', amount, make('span', 'after', after), time, transfer);
}

// ---- transfers ----

/** The wallet chosen in a picker: from its list, or by an id pasted below it. */
const chosen = (side) => ($(side).value === OTHER ? $(`${side}-id`).value.trim() : $(side).value);

function fillPickers() {
  const list = [...known.values()].reverse().filter(({ status }) => status !== 'closed');
  const titles = list.map((wallet) => {
    const frozen = wallet.status === 'frozen' ? ' · frozen' : '';
    const end = `…${wallet.id.slice(-6)}${frozen}`;
    return [wallet.id, `${nameOf(wallet)} · ${wallet.currency} · ${end}`];
  });
  titles.sort((one, other) => one[1].localeCompare(other[1]));
  const options = [['', 'Choose a wallet'], ...titles, [OTHER, 'Another wallet, by its id…']];
  for (const select of [$('from'), $('to')]) {
    if (select.dataset.options !== String(options)) {
      const value = select.value;
      select.dataset.options = String(options);
      select.replaceChildren(...options.map(([id, title]) => new Option(title, id)));
      select.value = value;
      if (select.selectedIndex < 0) select.value = '';
    }
  }
  drawPickers();
}

function drawPickers() {
  for (const side of ['from', 'to']) $(`${side}-id`).hidden = $(side).value !== OTHER;
  const payer = known.get(chosen('from'));
  const available = payer && formatMoney(payer.balance?.available, payer.currency);
  setText($('from-hint'), payer ? `Available ${available}` : '');
  setText($('amount-currency'), payer?.currency ?? '–');
  for (const option of $('to').options) {
    const payee = known.get(option.value);
    option.disabled = Boolean(payer && payee)
      && (payee.id === payer.id || payee.currency !== payer.currency);
  }
}

/** Learns a pasted wallet, for its currency. */
async function learn(id) {
  if (!known.has(id)) remember(await get(pathOf(id)));
  return known.get(id);
}

async function sendTransfer() {
  const [from, to] = [chosen('from'), chosen('to')];
  if (!from || !to) throw new RangeError('Choose the wallet to debit and the one to credit.');
  const { currency } = await learn(from);
  drawPickers();
  const amount = toMinor($('amount').value, currency);
  const reference = $('reference').value.trim();
  const order = { from, to, amount, currency, ...(reference && { reference }) };
  const { body, replayed } = await post('/transfers', order, { remember: true });
  const title = `${formatMoney(body.amount ?? amount, currency)} ${body.status ?? 'sent'}`;
  show($('transfer-result'), 'good', title, make('code', '', body.id ?? ''),
    replayed && make('span', '', 'An earlier try had already done it; it was not done again.'));
  $('amount').value = '';
  await loadWallets();
}

// ---- status, signing in and out ----

let session;
let recoveryCode = '';

async function probe(path, pill, good, bad) {
  try {
    const signal = AbortSignal.timeout(PROBE_MS);
    const response = await fetch(path, { cache: 'no-store', signal });
    if (response.status === 404) return setState(pill, 'wait', `${good}: not known here`);
    const body = await response.json().catch(() => ({}));
    const isGood = response.ok && (body.status ?? 'ok') === 'ok';
    setState(pill, isGood ? 'good' : 'bad', isGood ? good : bad);
    pill.title = body.version ? `Version ${body.version}` : '';
  } catch {
    setState(pill, 'bad', 'No answer');
  }
}

function probeAll() {
  if (document.hidden) return;
  probe('/healthz', $('health'), 'Healthy', 'Unhealthy');
  probe('/readyz', $('ready'), 'Ready', 'Not ready');
}

function drawMode() {
  const mode = /^sk_(test|live)_/.exec(currentKey())?.[1];
  $('mode').hidden = !mode;
  setState($('mode'), mode ?? '', mode === 'live' ? 'Live' : 'Test mode');
}

/** By address and password: the token is renewed as long as the page is open. */
async function logInHere() {
  const tokens = await logIn();
  if (!tokens) return;
  clearLogin();
  let isIn = false;
  session = new Session(tokens, (token) => {
    useKey(token, false);
    if (isIn) follow(token);
    isIn = true;
  }, forget);
  await enter(tokens.access_token);
}

async function signIn(key) {
  if (!plausibleKey(key)) throw new RangeError('That does not look like an API key.');
  useKey(key);
  await enter(key.trim());
}

function follow(key) {
  stream?.stop();
  stream = new EventStream('/api/v1/events', key, onMessage, onStreamState);
}

async function enter(key) {
  try {
    await get('/wallets', { limit: 1 });
  } catch (failure) {
    if (failure.status === 401) return; // back at the form, with the reason
    // Anything else passes, or concerns wallets alone: the page itself shows it.
  }
  $('key').value = '';
  for (const id of ['signin-result', 'login-result']) $(id).replaceChildren();
  $('signin').hidden = true;
  for (const id of ['desk', 'forget', 'stream']) $(id).hidden = false;
  drawMode();
  follow(key);
  drawMails();
  await loadWallets();
}

function forget(reason) {
  session?.end();
  session = undefined;
  clearLogin();
  useKey('');
  stream?.stop();
  document.querySelectorAll('dialog[open]').forEach((dialog) => dialog.close());
  Object.assign(live, { transfers: new Meter(), all: new Meter(), seen: 0, recent: [] });
  Object.assign(wallets, { cursors: [''], rows: new Map(), turn: wallets.turn + 1 });
  known.clear();
  for (const id of ['wallet-rows', 'event-rows', 'transfer-result']) $(id).replaceChildren();
  for (const id of ['desk', 'forget', 'stream', 'mode']) $(id).hidden = true;
  $('signin').hidden = $('events-note').hidden = false;
  if (reason) show($('login-result'), 'bad', reason);
  else $('login-result').replaceChildren();
  $('email').focus();
}

/** Somebody came by the link of a mail. */
async function useCode({ what, code }) {
  forget();
  if (what === 'recover') {
    recoveryCode = code;
    $('recover-form').hidden = false;
    $('new-password').focus();
    return;
  }
  try {
    await verifyEmail(code);
    show($('login-result'), 'good', 'Your e-mail address is confirmed. Sign in.');
  } catch (failure) {
    showFailure($('login-result'), failure);
  }
}

async function setNewPassword() {
  await recover(recoveryCode, $('new-password').value);
  $('new-password').value = recoveryCode = '';
  $('recover-form').hidden = true;
  show($('login-result'), 'good', 'Your new password is set. Sign in with it.');
}

async function sendRecovery() {
  try {
    await askForRecovery();
    show($('login-result'), 'good', 'If the address has an account, a mail is on its way.');
  } catch (failure) {
    showFailure($('login-result'), failure);
  }
}

// ---- beginning ----

function tick() {
  if ($('desk').hidden || document.hidden) return;
  drawRate();
  drawEvents();
  if (!touched.size || performance.now() - wallets.refreshedAt < REFRESH_MIN_MS) return;
  const isPanelTouched = $('panel').open && touched.has(panel.id);
  touched.clear();
  loadWallets().then(panel.drawFacts);
  if (isPanelTouched && panel.pages === 1) panel.load();
}

function listen() {
  onSubmit($('login-form'), $('login-result'), logInHere);
  onSubmit($('recover-form'), $('recover-result'), setNewPassword);
  $('forgot').addEventListener('click', sendRecovery);
  $('mails-again').addEventListener('click', drawMails);
  onSubmit($('signin-form'), $('signin-result'), () => signIn($('key').value));
  onSubmit($('wallet-form'), $('wallet-result'), createWallet);
  onSubmit($('fund-form'), $('fund-result'), fund);
  onSubmit($('transfer-form'), $('transfer-result'), sendTransfer);
  $('forget').addEventListener('click', () => forget());
  $('wallet-new').addEventListener('click', () => $('wallet-dialog').showModal());
  $('page-back').addEventListener('click', () => turnPage(false));
  $('page-next').addEventListener('click', () => turnPage(true));
  $('panel-more').addEventListener('click', () => panel.load(true));
  $('events-pause').addEventListener('click', ({ target }) => {
    target.ariaPressed = String(target.ariaPressed !== 'true');
    target.textContent = target.ariaPressed === 'true' ? 'Resume' : 'Pause';
  });
  $('wallet-rows').addEventListener('click', ({ target }) => {
    const button = target.closest('[data-act]');
    if (button) acts[button.dataset.act](button.closest('tr').dataset.id);
  });
  for (const side of ['from', 'to']) $(side).addEventListener('change', drawPickers);
  $('from-id').addEventListener('change', () => {
    const refused = ({ message }) => setText($('from-hint'), message);
    learn(chosen('from')).then(drawPickers, refused);
  });
  document.addEventListener('click', ({ target }) => {
    if (target.matches('[data-close], dialog')) target.closest('dialog').close();
  });
  window.addEventListener('hashchange', () => {
    const link = codeFromAddress();
    if (link) useCode(link);
    else begin(keyFromAddress());
  });
  whenKeyRefused(() => forget('That was not accepted. A key must be complete and not revoked; a session ends.'));
}

function begin(key) {
  if (key) signIn(key).catch((failure) => forget(failure.message));
}

listen();
fillPickers();
probeAll();
setInterval(probeAll, PROBE_MS);
setInterval(tick, TICK_MS);
const link = codeFromAddress();
const given = keyFromAddress() || currentKey();
if (link) useCode(link);
else if (given) begin(given);
else forget();
