// People at the door: login with address and password (and a second factor), what the links of
// mails ask for, and the mails of a development server. Tokens stay in memory: a reload forgets them.

import { get, send } from './api.js';

const REFRESH_BEFORE_S = 60;
const $ = (id) => document.getElementById(id);

/** A session of this page: its refresh token, and the clock that uses it in time. */
export class Session {
  #refresh = '';
  #timer;

  /** `onToken(accessToken)` is called for the first token and for each that takes its place. */
  constructor(tokens, onToken, onEnd) {
    Object.assign(this, { onToken, onEnd });
    this.#take(tokens);
  }

  #take({ access_token, refresh_token, expires_in }) {
    this.#refresh = refresh_token;
    const waitS = Math.max(expires_in - REFRESH_BEFORE_S, expires_in / 2);
    this.#timer = setTimeout(() => this.#renew(), waitS * 1000);
    this.onToken(access_token);
  }

  async #renew() {
    try {
      this.#take((await send('/auth/refresh', { refresh_token: this.#refresh })).body);
    } catch (failure) {
      // The access token lives for another minute: one that got no answer is tried again.
      if (failure.status === 401) this.onEnd('Your session has ended. Sign in again.');
      else this.#timer = setTimeout(() => this.#renew(), 5000);
    }
  }

  /** Ends it here at once, and at the server as soon as that hears of it. */
  end() {
    clearTimeout(this.#timer);
    const token = this.#refresh;
    this.#refresh = '';
    if (token) send('/auth/logout', { refresh_token: token }).catch(() => {});
  }
}

let challenge = '';

/** Forgets a login that is half done, and whatever was typed. */
export function clearLogin() {
  challenge = '';
  for (const id of ['password', 'code']) $(id).value = '';
  $('code-part').hidden = true;
  $('login-part').hidden = false;
}

/** One step of a login: tokens, or nothing while the second factor is asked for. */
export async function logIn() {
  if (challenge) {
    const answer = await send('/auth/mfa', { challenge, code: $('code').value.trim() });
    return answer.body;
  }
  const given = { email: $('email').value.trim(), password: $('password').value };
  const tenant = $('tenant').value.trim();
  if (tenant) given.tenant = tenant;
  const { body } = await send('/auth/login', given);
  if (!body.mfa_required) return body;
  challenge = body.challenge;
  $('login-part').hidden = true;
  $('code-part').hidden = false;
  $('code').focus();
  return undefined;
}

/** Always the same answer, whether the address has an account or not. */
export async function askForRecovery() {
  const email = $('email').value.trim();
  if (!email) throw new RangeError('Write your e-mail address first.');
  const tenant = $('tenant').value.trim();
  await send('/auth/recover', tenant ? { email, tenant } : { email });
}

// ---- links of mails: `#verify-email=cod_…`, `#recover=cod_…` ----

/** Takes the code out of the address bar: `{what, code}`, or nothing. */
export function codeFromAddress() {
  const [, what, code] = /^#(verify-email|recover)=(cod_[\w-]+)$/.exec(location.hash) ?? [];
  if (!what) return undefined;
  history.replaceState(null, '', location.pathname + location.search);
  return { what, code };
}

export const verifyEmail = (code) => send('/auth/verify-email', { code });
export const recover = (code, password) => send('/auth/recover/confirm', { code, password });

// ---- mails of development ----

/** Shows the newest mails where the server has them to show, and hides the card elsewhere. */
export async function drawMails() {
  let mails;
  try {
    mails = (await get('/dev/mails')).data;
  } catch {
    $('mails').hidden = true;
    return;
  }
  $('mails').hidden = false;
  $('mails-note').hidden = mails.length > 0;
  $('mail-rows').replaceChildren(...mails.slice(0, 10).map(({ to, subject, text }) => {
    const row = document.createElement('li');
    const mail = document.createElement('details');
    const title = document.createElement('summary');
    const body = document.createElement('pre');
    title.textContent = `${subject} – ${to}`;
    body.textContent = text;
    mail.append(title, body);
    row.append(mail);
    return row;
  }));
}
