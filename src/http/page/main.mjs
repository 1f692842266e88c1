// The page itself: it follows the daemon's events, draws what changed, and sends what a person asks for.
//
// Data reaches the document as text alone, never as HTML.

import { $, drawTexts, setShown, setText, setTone } from './dom.mjs';
import { begin, drawContainers, drawDevcontainers, drawTimes } from './lists.mjs';
import { Log } from './log.mjs';
import { emptyState, isActive, reduce, splitWarnings } from './state.mjs';
import { parsed, pause, readStream, request, token } from './streams.mjs';
import { announcements, clean, explain, sentence, summary, title } from './words.mjs';

/** The daemon sends a heartbeat after 15 s, so that this long a silence means that the connection is lost. */
const SILENCE = 45_000;
/** A tab that nobody sees gives its connection back: a browser has six for the daemon, and the daemon idles without. */
const UNSEEN = 30_000;
const MOST_WARNINGS = 50;

const page = {
  state: emptyState(),
  /** The log that is shown, or null. */
  log: null,
  /** The ids of dev containers whose operation was asked for and is not answered yet. */
  asked: new Set(),
  /** Why the last request for a dev container was refused. */
  refusals: new Map(),
  /** How far the daemon's clock is ahead, in milliseconds. */
  skew: 0,
  now: () => Date.now() + page.skew,
};
/** `connecting`, `live`, `paused` or `failed`, and with the last one why. */
let connection = { kind: 'connecting', failure: null };

// ---- Following the daemon ----------------------------------------------------------------------------------------

let wake = () => {};
let stream = new AbortController();
/** When the stream was last heard of, or null while there is none. */
let heardAt = null;
let unseenSince = document.hidden ? performance.now() : null;
/** When a person began to see the page. */
let seenAt = performance.now();

/** Waits for a time, or until something happens that makes a new attempt worthwhile. */
function sleep(time) {
  return new Promise((resolve) => {
    const timer = time === Infinity ? 0 : setTimeout(resolve, time);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

const isBusy = () => [...page.state.devcontainers.values()].some((one) => isActive(one.job));
const isUnseen = () => unseenSince !== null && performance.now() - unseenSince > UNSEEN && !isBusy();

async function follow() {
  for (let attempt = 0; ; ) {
    if (isUnseen()) {
      setConnection('paused');
      await sleep(Infinity);
      continue;
    }
    stream = new AbortController();
    let liveAt = null;
    let failure = explain(0, null, false);
    try {
      await readStream('events', {
        signal: stream.signal,
        lastId: page.state.revision,
        opened(response) {
          liveAt = performance.now();
          heardAt = liveAt;
          measureSkew(response);
          take([{ type: 'connected' }]);
          setConnection('live');
          showVersion();
        },
        heard() {
          heardAt = performance.now();
        },
        take: (events) => take(events.map(parsed)),
      });
    } catch (error) {
      failure = error.failure ?? failure;
      // A mistake in this file should be seen by whoever looks, and not end the page.
      if (!error.failure && error.name !== 'AbortError') console.error(error);
    }
    heardAt = null;
    if (isUnseen()) continue;
    // A stream that lasted shows that all was well. One that ends at once should not be asked for again and again.
    if (liveAt !== null && performance.now() - liveAt > 5000) attempt = 0;
    // The first attempt to come back is quick, and mostly succeeds: only the second one is worth a word.
    if (attempt > 0 || liveAt === null) setConnection('failed', failure);
    else setConnection('connecting');
    if (failure.kind === 'token') forgetAll();
    await sleep(failure.kind === 'token' ? Infinity : pause(attempt, Math.random()));
    attempt += 1;
  }
}

/** The daemon may run on another machine. A difference of a second or two is that of the header's digits. */
function measureSkew(response) {
  const ahead = Date.parse(response.headers.get('Date') ?? '') - Date.now();
  page.skew = Math.abs(ahead) > 3000 ? ahead : 0;
}

function take(events) {
  for (const event of events) page.state = reduce(page.state, event, Date.now());
  const { devcontainers } = page.state;
  for (const id of page.refusals.keys()) if (!devcontainers.has(id)) page.refusals.delete(id);
  if (page.log && !devcontainers.has(page.log.id)) closeLog();
  if (page.log?.isPast()) openLog(page.log.id);
  draw();
}

/** Without the right token, nothing that was shown before should stay readable. */
function forgetAll() {
  closeLog();
  page.state = emptyState();
  page.refusals.clear();
  announced = page.state;
  unsaid = [];
  $('announcer').textContent = '';
  draw();
}

function setConnection(kind, failure = null) {
  connection = { kind, failure };
  draw();
}

let version = null;

/** Shows the version. The scripts of another one may not understand the daemon any more. */
async function showVersion() {
  const response = await request('version').catch(() => null);
  // If there is none, the stream tells what is wrong.
  const { version: number, commit } = (await response?.json().catch(() => null)) ?? {};
  if (!number) return;
  const found = commit && commit !== 'unknown' ? `${clean(number)} (${clean(commit)})` : clean(number);
  version ??= found;
  const isOther = version !== found;
  setText($('version'), isOther ? `The daemon is now version ${found}. Reload this page.` : `devcontainerd ${found}`);
}

// ---- Drawing -----------------------------------------------------------------------------------------------------

let isDrawing = false;

/** Draws what changed, at most once per frame. */
function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    document.title = title(page.state);
    drawConnection();
    drawWarnings();
    drawDevcontainers(page);
    drawContainers(page.state);
    announce();
  });
}

function drawConnection() {
  const { failure: outage } = splitWarnings(page.state.warnings);
  const { kind, failure } = connection;
  const needsToken = failure?.kind === 'token';
  const failed = failure?.kind === 'gone' ? 'not connected' : 'waiting';
  setText($('connection'), kind === 'failed' ? failed : kind);
  setTone($('connection'), kind === 'live' ? 'good' : kind === 'failed' ? 'bad' : 'idle');
  let said = null;
  if (failure && !needsToken) {
    const old = page.state.revision === null ? [] : ['What is shown is the last known state.'];
    said = [failure.title, [failure.detail, ...old, 'The page tries again by itself.'].join(' ')];
  } else if (outage && kind === 'live') {
    said = ['Docker does not answer.', sentence(outage)];
  }
  $('banner').classList.toggle('notice', said !== null);
  setText($('banner-title'), said?.[0] ?? '');
  setText($('banner-detail'), said?.[1] ?? '');
  setShown($('banner-text'), said !== null);
  setShown($('banner-retry'), said !== null && kind !== 'live');
  drawToken(failure, needsToken);
  setText($('summary'), page.state.revision === null ? '' : summary(page.state));
  const hasLists = !needsToken && (page.state.revision !== null || kind !== 'failed');
  setShown($('lists'), hasLists);
  setShown($('find'), hasLists);
  $('lists').classList.toggle('old', kind === 'failed');
}

function drawToken(failure, needsToken) {
  const wasHidden = $('token-section').hidden;
  if (needsToken) {
    setText($('token-title'), failure.title);
    setText($('token-detail'), failure.detail);
  }
  setShown($('token-section'), needsToken);
  setShown($('forget'), !needsToken && token.value !== '');
  // Nothing else can be done on the page, so that this takes no focus from anything.
  if (needsToken && wasHidden) $('token').focus();
}

function drawWarnings() {
  const { others } = splitWarnings(page.state.warnings);
  setShown($('warnings-section'), others.length > 0);
  const shown = others.slice(0, MOST_WARNINGS).map((text) => clean(text));
  if (others.length > shown.length) shown.push(`There are ${others.length - shown.length} more.`);
  drawTexts($('warnings'), shown);
}

/** The state that the last announcements were about. */
let announced = page.state;
let announcedAt = 0;
let unsaid = [];

/** Tells a screen reader what changed, at most every two seconds. */
function announce() {
  unsaid.push(...announcements(announced, page.state));
  announced = page.state;
  if (unsaid.length === 0) return;
  const pauseLeft = announcedAt + 2000 - performance.now();
  if (pauseLeft > 0) {
    setTimeout(draw, pauseLeft);
    return;
  }
  announcedAt = performance.now();
  // The newest words count, and only a few can be listened to.
  $('announcer').textContent = unsaid.slice(-4).join(' ');
  unsaid = [];
}

// ---- Operations --------------------------------------------------------------------------------------------------

const CONFIRM = {
  recreate: (name) => [
    `Recreate ${name}?`,
    'A new container takes the place of the old one. Volumes stay; other files that were written inside the ' +
      'container are lost. If it fails, the old container is restored.',
    'Recreate',
  ],
  stop: (name) => [
    `Stop ${name}?`,
    'The programs in the container end, and so do those of services that belong to it.',
    'Stop',
  ],
  delete: (name) => [
    `Delete the container of ${name}?`,
    'It is stopped and removed. Volumes and the workspace folder stay; other files that were written inside the ' +
      'container are lost. If no definition names the dev container, it is not listed any more.',
    'Delete',
  ],
};

/** The path and the method of each operation. Without `wait`, the answer to a DELETE would come only at the end. */
const REQUESTS = {
  start: ['/start', 'POST'],
  recreate: ['/recreate', 'POST'],
  stop: ['/stop', 'POST'],
  cancel: ['/cancel', 'POST'],
  delete: ['?wait=false', 'DELETE'],
};

async function act(id, action) {
  const one = page.state.devcontainers.get(id);
  if (!one || page.asked.has(id) || (isActive(one.job) && action !== 'cancel')) return;
  // Another page may have made a person click where this one has just appeared.
  if (performance.now() - seenAt < 500) return;
  if (CONFIRM[action] && !(await isConfirmed(CONFIRM[action](clean(one.name, 200))))) return;
  page.asked.add(id);
  page.refusals.delete(id);
  draw();
  const [path, method] = REQUESTS[action];
  try {
    const response = await request(`devcontainers/${encodeURIComponent(id)}${path}`, { method });
    if (action !== 'cancel') openLog(id, (await response.json().catch(() => null))?.job);
  } catch (error) {
    const failure = error.failure ?? explain(0, null, false);
    // The stream may be served until it ends. Its next attempt asks for the token.
    if (failure.kind === 'token') stream.abort();
    page.refusals.set(id, `${failure.title} ${failure.detail}`.trim());
  } finally {
    page.asked.delete(id);
    draw();
  }
}

/** Asks a person. Resolves to true if the answer is yes. */
function isConfirmed([question, text, yes]) {
  const dialog = $('confirm');
  if (dialog.open) return Promise.resolve(false);
  $('confirm-title').textContent = question;
  $('confirm-text').textContent = text;
  $('confirm-yes').textContent = yes;
  dialog.returnValue = '';
  dialog.showModal();
  const shownAt = performance.now();
  return new Promise((resolve) => {
    // The second half of a double click is no answer.
    $('confirm-yes').onclick = () => performance.now() - shownAt > 400 && dialog.close('yes');
    $('confirm-no').onclick = () => dialog.close('no');
    dialog.onclose = () => resolve(dialog.returnValue === 'yes');
  });
}

/** Shows the log of an operation, which is the running or last one unless `job` is known to be it. */
function openLog(id, job = page.state.devcontainers.get(id)?.job) {
  if (page.log?.id === id && page.log.isOf(job)) return;
  closeLog();
  page.log = new Log({
    id,
    name: clean(page.state.devcontainers.get(id)?.name, 200),
    job,
    jobOf: () => page.state.devcontainers.get(id)?.job,
    refused: () => stream.abort(),
  });
  draw();
}

function closeLog() {
  page.log?.close();
  page.log = null;
  draw();
}

// ---- Beginning ---------------------------------------------------------------------------------------------------

/** Nothing but the time that an operation takes is drawn by the clock. */
function tick() {
  if (heardAt !== null && performance.now() - heardAt > SILENCE) stream.abort();
  if (isUnseen() && connection.kind !== 'paused') {
    stream.abort();
    wake();
  }
  if (!document.hidden) drawTimes(page);
}

$('devcontainers').addEventListener('click', (event) => {
  const button = event.target.closest('button[data-action]');
  if (!button || button.getAttribute('aria-disabled') === 'true') return;
  const { id } = button.closest('article').dataset;
  const { action } = button.dataset;
  if (action !== 'log') act(id, action);
  else if (page.log?.id === id) closeLog();
  else openLog(id);
});

$('banner-retry').addEventListener('click', () => wake());
addEventListener('online', () => wake());

$('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const value = $('token').value.trim();
  const isToken = /^[A-Za-z0-9._~+/=-]+$/.test(value);
  $('token-error').textContent = isToken ? '' : 'A token has letters, digits and - . _ ~ + / = only.';
  if (!isToken) return;
  token.set(value);
  $('token').value = '';
  // The answer may have the words of the one before, which would not be noticed.
  $('token-title').textContent = 'The page tries this token.';
  wake();
});

$('forget').addEventListener('click', () => {
  token.set('');
  stream.abort();
  wake();
});

document.addEventListener('visibilitychange', () => {
  unseenSince = document.hidden ? performance.now() : null;
  if (document.hidden) return;
  seenAt = performance.now();
  wake();
});

// A page that is kept for the way back must not keep its connections.
addEventListener('pagehide', () => {
  stream.abort();
  closeLog();
});
addEventListener('pageshow', (event) => {
  if (event.persisted) wake();
});

token.load();
begin(draw);
setInterval(tick, 1000);
draw();
follow();
