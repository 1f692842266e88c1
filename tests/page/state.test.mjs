import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  MOST_STEPS, reduce, sortedContainers, sortedDevcontainers, splitWarnings, stepTimes,
} from '../../src/http/page/state.mjs';
import { ENDED, RUNNING, SNAPSHOT, after, container, devcontainer } from './examples.mjs';

test('a snapshot replaces everything', () => {
  const state = after(SNAPSHOT, { ...SNAPSHOT, revision: 7, containers: [container('c')], devcontainers: [], warnings: [] });
  assert.deepEqual([...state.containers.keys()], ['c']);
  assert.equal(state.devcontainers.size, 0);
  assert.equal(state.revision, 7);
  assert.deepEqual(state.warnings, []);
});

test('a change replaces one object and leaves the others as they are', () => {
  const before = after(SNAPSHOT);
  const state = reduce(before, { type: 'container', revision: 101, ...container('a', { status: 'paused' }) }, 0);
  assert.equal(state.containers.get('a').status, 'paused');
  assert.equal(state.containers.get('b'), before.containers.get('b'));
  assert.equal(state.devcontainers, before.devcontainers);
  assert.equal(before.containers.get('a').status, 'running');
});

test('what is removed is forgotten, and so are its phases', () => {
  const busy = { type: 'devcontainer', revision: 101, ...devcontainer('x', { job: { ...RUNNING, phase: 'build' } }) };
  const state = after(SNAPSHOT, busy);
  assert.equal(state.tracks.size, 1);
  const removed = reduce(state, { type: 'devcontainer_removed', revision: 102, id: 'x' }, 0);
  assert.equal(removed.devcontainers.size + removed.tracks.size, 0);
  const none = reduce(removed, { type: 'container_removed', revision: 103, id: 'a' }, 0);
  assert.deepEqual([...none.containers.keys()], ['b']);
  assert.equal(reduce(state, { ...SNAPSHOT, devcontainers: [] }, 0).tracks.size, 0);
});

test('warnings replace warnings, and one tells of docker', () => {
  const down = 'containers cannot be listed: down; the last known state is shown';
  const state = after(SNAPSHOT, { type: 'warnings', revision: 101, warnings: ['port', down, 7] });
  assert.deepEqual(splitWarnings(state.warnings), { failure: down, others: ['port'] });
  assert.deepEqual(splitWarnings([]), { failure: undefined, others: [] });
});

test('a resumed stream goes on from its revision, and what is older changes nothing', () => {
  const change = (revision, status) => ({ type: 'container', revision, ...container('a', { status }) });
  const state = after(SNAPSHOT, change(105, 'paused'), { type: 'connected' }, change(104, 'dead'), change(105, 'dead'), change(106, 'created'));
  assert.equal(state.containers.get('a').status, 'created');
  assert.equal(state.revision, 106);
});

test('what makes no sense changes nothing', () => {
  const state = after(SNAPSHOT);
  const odd = [
    undefined, null, 7, {}, { type: 'heartbeat' }, { type: 'snapshot' }, { type: 'container', revision: 101 },
    { type: 'devcontainer', revision: 101, id: 7 }, { type: 'container', id: 'a' },
  ];
  for (const event of odd) assert.equal(reduce(state, event, 0), state);
  assert.equal(reduce(state, { type: 'later', revision: 101 }, 0).revision, 101);
  const broken = after({ type: 'snapshot', revision: 1, containers: 7, devcontainers: [null, {}], warnings: null });
  assert.equal(broken.containers.size + broken.devcontainers.size + broken.warnings.length, 0);
});

test('an id is a key and nothing more', () => {
  const state = after(SNAPSHOT, { type: 'container', revision: 101, ...container('__proto__') });
  assert.equal(state.containers.get('__proto__').name, 'c-__proto__');
  assert.equal({}.name, undefined);
});

test('lists have the order of the daemon', () => {
  const made = (id, created_at) => [id, container(id, { created_at })];
  const containers = new Map([
    made('old', '2026-11-27T19:11:03Z'),
    made('new', '2026-11-27T19:11:03.821628068Z'),
    made('newest', '2026-11-27T19:11:03.9Z'),
  ]);
  assert.deepEqual(sortedContainers(containers).map((one) => one.id), ['newest', 'new', 'old']);
  const in_ = (id, workspace_folder, config_path) => [id, devcontainer(id, { workspace_folder, config_path })];
  const devcontainers = new Map([in_('3', '/b', '/b/2'), in_('2', '/b', '/b/1'), in_('1', '/a', '/a/9')]);
  assert.deepEqual(sortedDevcontainers(devcontainers).map((one) => one.id), ['1', '2', '3']);
});

test('phases have their seconds, as seen', () => {
  const job = (revision, more) => ({ type: 'devcontainer', revision, ...devcontainer('x', { job: { ...RUNNING, ...more } }) });
  const events = [
    SNAPSHOT,
    { type: 'connected' },
    { type: 'heartbeat' },
    job(101, { state: 'queued' }),
    job(102, { phase: 'build' }),
    job(103, { phase: 'build' }),
    job(104, { phase: 'create' }),
    job(105, {}),
    job(106, ENDED),
    job(107, ENDED),
  ];
  const until = (length) => stepTimes(after(...events.slice(0, length)).tracks.get('x'), 30_000);
  assert.deepEqual(until(4), []);
  assert.deepEqual(until(5), [{ name: 'build', seconds: 16, isExact: true, isCurrent: true }]);
  const ended = [
    { name: 'build', seconds: 2, isExact: true, isCurrent: false },
    { name: 'create', seconds: 2, isExact: true, isCurrent: false },
  ];
  assert.deepEqual(until(9), ended);
  assert.deepEqual(until(10), ended);
});

test('phases that began while nobody looked are a guess', () => {
  const job = (phase) => devcontainer('x', { job: { ...RUNNING, phase } });
  const late = after({ ...SNAPSHOT, devcontainers: [job('build')] });
  assert.equal(stepTimes(late.tracks.get('x'), 0)[0].isExact, false);
  let state = reduce(after(SNAPSHOT), { type: 'devcontainer', revision: 101, ...job('build') }, 20_000);
  state = reduce(state, { type: 'connected' }, 30_000);
  state = reduce(state, { type: 'devcontainer', revision: 102, ...job('create') }, 30_010);
  assert.deepEqual(stepTimes(state.tracks.get('x'), 40_000).map((step) => step.isExact), [false, false]);
});

test('another job has other phases, and their number is bounded', () => {
  const job = (revision, started_at, phase) => ({ type: 'devcontainer', revision, ...devcontainer('x', { job: { ...RUNNING, started_at, phase } }) });
  const state = after(SNAPSHOT, job(101, '1', 'build'), job(102, '2', 'create'));
  assert.deepEqual(stepTimes(state.tracks.get('x'), 0).map((step) => step.name), ['create']);
  const many = Array.from({ length: 1000 }, (_, index) => job(101 + index, '1', `p${index}`));
  assert.equal(after(SNAPSHOT, ...many).tracks.get('x').steps.length, MOST_STEPS);
});
