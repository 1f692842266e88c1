// The cards of dev containers and the rows of containers.

import { $, arrange, copy, make, setShown, setText, setTextOrHide, setTone } from './dom.mjs';
import { portView } from './ports.mjs';
import { isActive, sortedContainers, sortedDevcontainers, stepTimes } from './state.mjs';
import {
  changeText, clean, count, duration, filterWords, jobText, matches, milliseconds, pathBelow, searchable,
} from './words.mjs';

/** How many cards and rows are drawn before a person asks for more. */
const FIRST = { devcontainers: 100, containers: 200 };
const MORE = 500;
const MOST_CHANGES = 20;
const TONES = { running: 'good', error: 'bad', starting: 'busy', stopping: 'busy', deleting: 'busy' };

let words = [];
const limit = { ...FIRST };
/** What is drawn, by id: the node and its parts, and the object that they were drawn from. */
const drawn = { devcontainers: new Map(), containers: new Map() };

/** Listens to the controls of both lists. */
export function begin(draw) {
  $('filter').addEventListener('input', () => {
    words = filterWords($('filter').value);
    Object.assign(limit, FIRST);
    draw();
  });
  for (const name of Object.keys(FIRST)) {
    $(`${name}-more`).addEventListener('click', () => {
      limit[name] += MORE;
      draw();
    });
  }
  $('containers-details').addEventListener('toggle', draw);
}

/**
 * Draws the dev containers of `page.state`. `page.log` is the log that is shown, `page.asked` has the ids whose operation
 * is not answered yet, `page.refusals` says why one was refused, and `page.now()` is the daemon's time.
 */
export function drawDevcontainers(page) {
  const all = sortedDevcontainers(page.state.devcontainers);
  const found = drawList('devcontainers', all, createCard, (entry, one) => drawCard(entry, one, page));
  let empty = '';
  if (page.state.revision === null) empty = 'The page waits for the list of containers.';
  else if (all.length === 0) empty = 'There is none. One that “devcontainer up” makes appears here by itself.';
  else if (found === 0) empty = 'None matches the filter.';
  setTextOrHide($('devcontainers-empty'), empty);
  setText($('devcontainers-title'), `Dev containers${all.length > 0 ? ` (${ofAll(found, all.length)})` : ''}`);
}

export function drawContainers(state) {
  const all = sortedContainers(state.containers);
  const owners = new Map();
  for (const one of state.devcontainers.values()) if (one.container) owners.set(one.container.id, one);
  // Rows that nobody sees are not made, or kept.
  const seen = $('containers-details').open ? all : [];
  const found = drawList('containers', seen, () => copy('row'), (entry, one) => drawRow(entry, one, owners.get(one.id)));
  const shown = seen.length > 0 ? ofAll(found, all.length) : String(all.length);
  setText($('containers-title'), `Containers${all.length > 0 ? ` (${shown})` : ''}`);
  setShown($('containers-empty'), state.revision !== null && all.length === 0);
}

/** Draws what goes on by the clock: the time that an operation takes. */
export function drawTimes(page) {
  for (const { parts, data } of drawn.devcontainers.values()) if (isActive(data.job)) drawJob(parts, data, page);
}

const ofAll = (found, all) => (found === all ? String(all) : `${found} of ${all}`);

/** Draws the objects that match the filter. Returns how many do. */
function drawList(name, objects, create, update) {
  const found = words.length === 0 ? objects : objects.filter((one) => matches(words, searchable(one)));
  const shown = found.slice(0, limit[name]);
  const before = drawn[name];
  const after = new Map();
  for (const one of shown) {
    const entry = before.get(one.id) ?? { ...create(one), data: null };
    update(entry, one);
    entry.data = one;
    after.set(one.id, entry);
  }
  // An object that is no longer listed is forgotten with its node.
  drawn[name] = after;
  arrange($(name), [...after.values()].map((entry) => entry.node));
  const hidden = found.length - shown.length;
  setTextOrHide($(`${name}-more`), hidden > 0 ? `Show ${Math.min(hidden, MORE)} of ${hidden} more` : '');
  return found.length;
}

function createCard(one) {
  const card = copy('card');
  card.node.dataset.id = one.id;
  card.node.id = cardId(one.id);
  return card;
}

const cardId = (id) => `devcontainer-${encodeURIComponent(id)}`;

function drawCard(entry, one, page) {
  const { node, parts } = entry;
  const refusal = page.refusals.get(one.id) ?? '';
  const isAsked = page.asked.has(one.id);
  if (entry.data !== one || entry.refusal !== refusal || entry.isAsked !== isAsked) {
    entry.refusal = refusal;
    entry.isAsked = isAsked;
    drawFacts(node, parts, one);
    drawActions(parts, one, isAsked);
    setText(parts.refusal, refusal);
  }
  const hasLog = page.log?.id === one.id;
  node.classList.toggle('open', hasLog);
  if (hasLog && page.log.panel.parentNode !== node) {
    node.append(page.log.panel);
    // The card may have moved, as an open one takes a whole row.
    node.scrollIntoView({ block: 'nearest' });
  }
  parts.actions.querySelector('[data-action=log]').setAttribute('aria-expanded', String(hasLog));
  drawJob(parts, one, page);
}

function drawFacts(node, parts, one) {
  const name = clean(one.name, 200);
  node.setAttribute('aria-label', name);
  setText(parts.name, name);
  setText(parts.status, clean(one.status, 40));
  setTone(parts.status, TONES[one.status] ?? 'idle');
  setShown(parts.dirty, one.dirty === true);
  setShown(parts['unchecked-chip'], Boolean(one.unchecked));
  const config = one.config_path ? ` (${pathBelow(one.config_path, one.workspace_folder)})` : '';
  setText(parts.folder, `${clean(one.workspace_folder)}${config}`);
  const { container } = one;
  setTextOrHide(parts.container, container ? `${clean(container.name, 200)}: ${clean(container.status, 200)}` : '');
  setLongText(parts.error, clean(one.error));
  setTextOrHide(parts.unchecked, one.unchecked ? `Not everything could be compared: ${clean(one.unchecked)}` : '');
  drawChanges(parts, one);
  drawPorts(parts.ports, container?.ports);
}

/** A long text has bounds, within which the keyboard can scroll it. */
function setLongText(node, text) {
  setTextOrHide(node, text);
  const isLong = text.length > 400;
  node.classList.toggle('long', isLong);
  if (isLong) node.tabIndex = 0;
  else node.removeAttribute('tabindex');
}

function drawChanges(parts, one) {
  const changes = Array.isArray(one.changes) ? one.changes : [];
  setShown(parts.changes, changes.length > 0);
  const verb = changes.length === 1 ? 'differs' : 'differ';
  setText(parts['changes-title'], `${count(changes.length, 'file')} ${verb} from what the container was made from:`);
  const shown = changes.slice(0, MOST_CHANGES).map((change) => {
    const line = make('li', '');
    const path = make('code', pathBelow(change.path, one.workspace_folder));
    path.title = clean(change.path);
    line.append(path, ` ${changeText(change.change)}`);
    return line;
  });
  if (changes.length > shown.length) shown.push(make('li', `There are ${changes.length - shown.length} more.`));
  parts['changes-list'].replaceChildren(...shown);
}

/** Ports keep their nodes while they stay the same: a link may have the focus. */
function drawPorts(list, ports) {
  const views = (Array.isArray(ports) ? ports : []).map((port) => portView(port, location.hostname));
  const key = JSON.stringify(views);
  setShown(list, views.length > 0);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...views.map((view) => {
    const item = document.createElement('li');
    const node = make(view.href ? 'a' : 'span', view.text);
    node.title = view.note;
    if (view.href) {
      node.href = view.href;
      node.target = '_blank';
      node.rel = 'noopener noreferrer';
    }
    item.append(node);
    return item;
  }));
}

function drawActions(parts, one, isAsked) {
  const busy = isActive(one.job);
  const hasContainer = Boolean(one.container);
  const available = {
    start: !one.running,
    recreate: hasContainer,
    stop: one.running === true,
    delete: hasContainer,
    cancel: busy,
    log: true,
  };
  const name = clean(one.name, 200);
  parts.actions.setAttribute('aria-label', `Actions for ${name}`);
  // Buttons that appear come first, so that focus finds a place when another one goes.
  const buttons = [...parts.actions.children];
  buttons.sort((a, b) => Number(available[b.dataset.action]) - Number(available[a.dataset.action]));
  for (const button of buttons) {
    const { action } = button.dataset;
    setShown(button, available[action]);
    button.setAttribute('aria-label', `${button.textContent} ${action === 'log' ? 'of ' : ''}${name}`);
    // A disabled button would lose the focus, and be left out by a screen reader.
    const isOff = isAsked || (busy && action !== 'cancel');
    if (action !== 'log') button.setAttribute('aria-disabled', String(isOff));
    button.classList.toggle('primary', action === 'recreate' ? one.dirty === true : action === 'start');
  }
}

function drawJob(parts, one, page) {
  const { job } = one;
  // A job that succeeded is history. One that did not is said by `error`, and with the log.
  const isShown = Boolean(job) && (isActive(job) || page.log?.id === one.id || job.state !== 'succeeded');
  setShown(parts.job, isShown);
  if (!isShown) return;
  setShown(parts.spinner, isActive(job));
  setTone(parts.job, isActive(job) ? 'busy' : 'idle');
  setText(parts['job-text'], jobText(job, page.now()));
  const ended = milliseconds(job.finished_at);
  parts['job-text'].title = Number.isFinite(ended) ? `It ended at ${new Date(ended).toLocaleString()}.` : '';
  const steps = stepTimes(page.state.tracks.get(one.id), Date.now());
  setShown(parts.steps, steps.length > 0);
  while (parts.steps.children.length > steps.length) parts.steps.lastElementChild.remove();
  steps.forEach((step, index) => {
    const line = parts.steps.children[index] ?? parts.steps.appendChild(document.createElement('li'));
    setText(line, `${clean(step.name, 60)} ${step.isExact ? '' : 'about '}${duration(step.seconds)}`);
    if (step.isCurrent) line.setAttribute('aria-current', 'step');
    else line.removeAttribute('aria-current');
  });
}

function drawRow(entry, one, owner) {
  if (entry.data === one && entry.owner === owner) return;
  entry.owner = owner;
  const { parts } = entry;
  setText(parts.name, clean(one.name, 200));
  setText(parts.status, clean(one.status, 80));
  parts.status.title = clean(one.status);
  setTone(parts.status, one.running ? 'good' : 'idle');
  setShown(parts.dirty, one.devcontainer_dirty === true);
  setText(parts.image, clean(one.image, 300));
  drawPorts(parts.ports, one.ports);
  const created = new Date(milliseconds(one.created_at));
  const when = Number.isNaN(created.getTime()) ? '' : `, made ${created.toLocaleString()}`;
  setText(parts.more, `${clean(one.id).slice(0, 12)}${when}`);
  setTextOrHide(parts.owner, owner ? `dev container ${clean(owner.name, 200)}` : '');
  if (owner) parts.owner.href = `#${encodeURIComponent(cardId(owner.id))}`;
}
