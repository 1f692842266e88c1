// Requests and streams.

import { explain } from './words.mjs';

/** The longest item of a stream, in characters. A snapshot of 1,000 containers takes a few million. */
export const LONGEST_ITEM = 64 << 20;

/**
 * Takes the next piece of a stream of server-sent events (WHATWG HTML, section 9.2). Returns the events that it
 * completes, and the rest, which goes before the next piece. Only what the daemon sends is understood: lines end with
 * LF or CR LF, and the type of an event is in its data.
 */
export function splitEvents(rest, piece) {
  if (rest.length + piece.length > LONGEST_ITEM) throw new RangeError('an item of the stream is too long');
  // A snapshot comes in many pieces. To search all of it again for each would take its square.
  if (!piece.includes('\n')) return { events: [], rest: rest + piece };
  const blocks = (rest + piece).split(/\r?\n\r?\n/);
  const last = blocks.pop();
  const events = [];
  for (const block of blocks) {
    let id = null;
    const data = [];
    for (const line of block.split(/\r?\n/)) {
      const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (name === 'id') id = value;
      else if (name === 'data') data.push(value);
    }
    // A block without data is a heartbeat or a hint.
    if (data.length > 0) events.push({ id, data: data.join('\n') });
  }
  return { events, rest: last };
}

/** Returns the pause before a connection is tried again, in milliseconds. `random` is from 0 to 1. */
export function pause(attempt, random) {
  const longest = Math.min(30_000, 500 * 2 ** Math.min(attempt, 10));
  // Many pages should not come back in the same moment.
  return Math.round(longest * (0.75 + random / 4));
}

/** A request that was not served, with an explanation for people. */
class Refused extends Error {
  constructor(failure) {
    super(failure.title);
    this.failure = failure;
  }
}

/** The token is kept by the tab. Where the browser forbids that, it lasts as long as the page. */
export const token = {
  value: '',
  load() {
    try {
      this.value = sessionStorage.getItem('token') ?? '';
    } catch {
      // It stays in memory.
    }
  },
  set(value) {
    this.value = value;
    try {
      if (value) sessionStorage.setItem('token', value);
      else sessionStorage.removeItem('token');
    } catch {
      // It stays in memory.
    }
  },
};

/** Throws the failure of a connection as [`Refused`], unless this page has ended it. */
function rethrow(error) {
  throw error.name === 'AbortError' ? error : new Refused(explain(0, null, false));
}

/** Sends a request. An answer that is an error, and none at all, are thrown as [`Refused`]. */
export async function request(path, { headers = {}, ...options } = {}) {
  const sent = token.value;
  if (sent) headers.Authorization = `Bearer ${sent}`;
  const response = await fetch(path, { headers, cache: 'no-store', redirect: 'error', ...options }).catch(rethrow);
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new Refused(explain(response.status, body, sent !== ''));
}

/**
 * Reads a stream to its end. `take` gets each event and may return a promise, for which the next read waits. An
 * `EventSource` could not send the token.
 */
export async function readStream(path, { signal, lastId, opened, heard, take }) {
  const headers = { Accept: 'text/event-stream' };
  if (lastId !== null) headers['Last-Event-ID'] = String(lastId);
  const response = await request(path, { headers, signal });
  opened?.(response);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(rethrow);
      if (done) return;
      heard?.();
      const split = splitEvents(rest, decoder.decode(value, { stream: true }));
      rest = split.rest;
      if (split.events.length > 0) await take(split.events);
    }
  } finally {
    // An error in the middle must not leave the connection open.
    reader.cancel().catch(() => {});
  }
}

/** Returns the object of an event, or undefined if it has none. */
export function parsed({ data }) {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
