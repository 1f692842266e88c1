// The words of the page: pure functions, so that node can test them.
//
// Every text comes from labels, files or programs and may be hostile. What these functions return is for `textContent`.

import { isActive, jobKey, splitWarnings } from './state.mjs';

const LONGEST_TEXT = 4096;
/** A line of a log may be 64 KiB long. */
export const LONGEST_LINE = 16 << 10;
/** The bounds of a log that is shown. Lines are so long that their number alone is none. */
export const MOST_LINES = 5000;
export const MOST_CHARACTERS = 4 << 20;

/**
 * Returns a text in one line that cannot reorder what stands around it: control characters and those that set the
 * direction of writing become visible.
 */
export function clean(text, longest = LONGEST_TEXT) {
  if (typeof text !== 'string') return '';
  const cut = text.length > longest ? `${text.slice(0, longest)}…` : text;
  const oneLine = cut.replace(/[\t\n\r]+/g, ' ');
  return oneLine.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '\ufffd');
}

/**
 * Returns the text of a log line without terminal escapes and other control characters. Of a line that was
 * overwritten, the last text stays, as with `?format=text`.
 */
export function plain(output) {
  if (typeof output !== 'string') return '';
  const last = output.replace(/\r+$/, '').split('\r').at(-1);
  // Sequences of ECMA-48: those with parameters, strings with an end, and two characters.
  const escapes = /\u001b(?:\[[^@-~]*(?:[@-~]|$)|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\?|$)|[^]?)/g;
  const text = last.replace(escapes, '').replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g, '');
  const safe = text.replace(/[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '\ufffd');
  return safe.length > LONGEST_LINE ? `${safe.slice(0, LONGEST_LINE)}…` : safe;
}

/** Returns how many of the oldest lines of a log have to go, given the lengths of all of them. */
export function overflow(lengths, maxLines = MOST_LINES, maxChars = MOST_CHARACTERS) {
  let chars = lengths.reduce((sum, length) => sum + length, 0);
  let dropped = Math.max(0, lengths.length - maxLines);
  for (let index = 0; index < dropped; index += 1) chars -= lengths[index];
  while (chars > maxChars && dropped < lengths.length - 1) {
    chars -= lengths[dropped];
    dropped += 1;
  }
  return dropped;
}

/** Returns a duration in words, such as `3.6 s` or `2 min 5 s`. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Returns a time of the daemon in milliseconds since 1970. Not every browser reads more than three digits. */
export function milliseconds(time) {
  return Date.parse(String(time).replace(/(\.\d{3})\d+/, '$1'));
}

/** Returns how long a job has taken, in seconds. `now` is in milliseconds, by the daemon's clock. */
export function jobSeconds(job, now) {
  const end = job.finished_at === undefined ? now : milliseconds(job.finished_at);
  return Math.max(0, end - milliseconds(job.started_at)) / 1000;
}

/** Returns a sentence about a job. */
export function jobText(job, now) {
  const took = duration(jobSeconds(job, now));
  const kind = capital(clean(job.kind));
  switch (job.state) {
    case 'queued':
      return `${kind} waits for other operations to end: ${took}`;
    case 'running':
      return `${kind} runs: ${took}`;
    case 'interrupted':
      return `${kind} was interrupted by the end of the daemon`;
    case 'cancelled':
      return `${kind} was cancelled after ${took}`;
    default:
      return `${kind} ${clean(job.state)} after ${took}`;
  }
}

/** Returns the words for what became of an input. */
export function changeText(change) {
  switch (change) {
    case 'modified':
      return 'was modified';
    case 'created':
      return 'is new';
    case 'removed':
      return 'is gone';
    case 'unknown':
      return 'may differ: it is newer than the container, or was edited while that was made';
    default:
      return clean(change);
  }
}

/** Returns a path as seen from a folder, if it is below that. */
export function pathBelow(path, folder) {
  const inside = clean(path);
  const prefix = `${clean(folder).replace(/\/+$/, '')}/`;
  return inside.startsWith(prefix) && inside.length > prefix.length ? inside.slice(prefix.length) : inside;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Returns a text of the daemon, which begins without a capital and ends without a full stop, as a sentence. */
export function sentence(text) {
  const said = clean(text).trim();
  // The name of a program is not changed.
  const whole = /^(docker|podman|devcontainer) /.test(said) ? said : capital(said);
  return whole === '' || /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}

/** Returns a number with a noun, such as `1 container` or `2 containers`. */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** Returns one line about everything. */
export function summary(state) {
  const devcontainers = [...state.devcontainers.values()];
  const parts = [count(devcontainers.length, 'dev container')];
  const dirty = devcontainers.filter((one) => one.dirty === true).length;
  if (dirty > 0) parts.push(`${dirty} dirty`);
  const busy = devcontainers.filter((one) => isActive(one.job)).length;
  if (busy > 0) parts.push(count(busy, 'operation'));
  parts.push(count(state.containers.size, 'container'));
  return parts.join(', ');
}

/** Returns the title of the page, which shows also in a tab behind others. */
export function title(state) {
  const devcontainers = [...state.devcontainers.values()];
  const busy = devcontainers.filter((one) => isActive(one.job));
  const dirty = devcontainers.filter((one) => one.dirty === true).length;
  if (busy.length === 1) return `${clean(busy[0].name, 100)}: ${clean(busy[0].job.kind)} – devcontainerd`;
  if (busy.length > 1) return `${busy.length} operations – devcontainerd`;
  return dirty > 0 ? `${dirty} dirty – devcontainerd` : 'devcontainerd';
}

/** Returns the sentences that a screen reader should say about the changes between two states: a few, or how many. */
export function announcements(before, after) {
  if (before.revision === null) return [];
  const said = [];
  for (const [id, now] of after.devcontainers) {
    const then = before.devcontainers.get(id);
    if (then !== now) said.push(...announcementsOf(then, now));
  }
  for (const [id, then] of before.devcontainers) {
    if (!after.devcontainers.has(id)) said.push(`${clean(then.name, 100)} is no longer listed.`);
  }
  const [was, is] = [before, after].map((state) => splitWarnings(state.warnings));
  if (is.failure && !was.failure) said.push('Docker does not answer. The last known state is shown.');
  if (!is.failure && was.failure) said.push('Docker answers again.');
  if (is.others.length > was.others.length) said.push(`There is a new warning. ${sentence(is.others.at(-1))}`);
  return said.length <= 4 ? said : [...said.slice(0, 3), `There are ${said.length - 3} more changes.`];
}

function announcementsOf(then, now) {
  const name = clean(now.name, 100);
  const said = [];
  if (!then) said.push(`${name} is new.`);
  if (then && !then.dirty && now.dirty) said.push(`${name} no longer matches its configuration.`);
  if (then?.dirty && !now.dirty && now.container) said.push(`${name} matches its configuration again.`);
  const { job } = now;
  const isSame = jobKey(then?.job) === jobKey(job) && then?.job?.state === job?.state;
  if (then && job && !isSame) {
    // The seconds of a job that goes on would be old when they are said.
    const begun = `${capital(clean(job.kind))} ${job.state === 'queued' ? 'is queued' : 'runs'}`;
    said.push(`${name}: ${isActive(job) ? begun : jobText(job, 0)}.`);
  } else if (then && isActive(job) && job.phase && job.phase !== then.job?.phase) {
    said.push(`${name}: ${clean(job.phase)}.`);
  }
  return said;
}

/** Returns the words of a filter. */
export function filterWords(text) {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

/** Returns the text of a dev container or a container that a filter looks at. */
export function searchable(one) {
  const ports = (one.ports ?? one.container?.ports ?? []).flatMap((port) => [port.port, port.host_port]);
  const isDirty = one.dirty || one.devcontainer_dirty;
  const words = [one.name, one.status, one.workspace_folder, one.config_path, one.image, one.id, one.container?.name];
  words.push(one.container?.image, isDirty && 'dirty', one.unchecked && 'unchecked', one.error && 'error', ...ports);
  return words.filter(Boolean).join(' ').toLowerCase();
}

/** Returns whether a text has all words of a filter. */
export function matches(words, text) {
  return words.every((word) => text.includes(word));
}

/**
 * Explains in words for people why a request was not served. `status` is 0 where there was no answer, and `body` is
 * the daemon's error, if it has sent one.
 */
export function explain(status, body, hadToken) {
  const message = clean(body?.message);
  const detail = sentence(body?.detail);
  if (status === 0) {
    return failure('gone', 'The daemon does not answer.', 'It may have ended, or be starting again.');
  }
  if (status === 401) {
    return hadToken
      ? failure('token', 'The daemon does not accept this token.', 'Its file may have changed. Enter the new token.')
      : failure('token', 'The daemon needs a token.', 'It is in the file that --token-file names.');
  }
  if (message === 'API closed') {
    return failure('stopping', 'The daemon is stopping.', 'The page connects again when it is back.');
  }
  if (/^Could not (get|list) containers/.test(message)) {
    return failure('docker', 'Docker does not answer.', detail);
  }
  if (message === 'Too many streams' || message === 'Too many connections') {
    return failure('busy', 'The daemon has no place for this page.', `Close other pages or clients. ${detail}`);
  }
  if (message === 'Forbidden') return failure('forbidden', 'The daemon does not serve this page.', detail);
  return failure('error', message ? `${message}.` : `The daemon answers with status ${status}.`, detail);
}

const failure = (kind, title, detail) => ({ kind, title: title.replace(/\.+$/, '.'), detail });
