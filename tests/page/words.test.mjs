import assert from 'node:assert/strict';
import { test } from 'node:test';

import { emptyState, reduce } from '../../src/http/page/state.mjs';
import {
  LONGEST_LINE, MOST_LINES, announcements, changeText, clean, duration, explain, filterWords, jobSeconds, jobText,
  matches, milliseconds, overflow, pathBelow, plain, searchable, sentence, summary, title,
} from '../../src/http/page/words.mjs';
import { ENDED, RUNNING, SNAPSHOT, after, container, devcontainer } from './examples.mjs';

test('hostile text stays text, in one line and in its order', () => {
  assert.equal(clean('<img src=x onerror=alert(1)>'), '<img src=x onerror=alert(1)>');
  assert.equal(clean('a\nb\tc'), 'a b c');
  assert.equal(clean('a\u202eb\u2066c\u0000d\u001b'), 'a\ufffdb\ufffdc\ufffdd\ufffd');
  assert.equal(clean('x'.repeat(9), 3), 'xxx…');
  for (const odd of [undefined, null, 7, {}, ['a']]) assert.equal(clean(odd), '');
});

test('logs are plain, as the daemon makes them', () => {
  for (const [output, expected] of [
    ['\u001b[1mbold\u001b[0m', 'bold'],
    ['\u001b[38;5;12mx\u001b[K', 'x'],
    ['1%\r20%\r100%\r', '100%'],
    ['\u001b]0;title\u0007x\u001b]8;;http://y\u001b\\z', 'xz'],
    ['a\tb\u0008\u0000c', 'a\tbc'],
    ['\u001b', ''],
    ['\u001b[', ''],
    ['\u001b[1;2', ''],
    ['a\u202eb', 'a\ufffdb'],
    ['<b>', '<b>'],
    [7, ''],
  ]) assert.equal(plain(output), expected, JSON.stringify(output));
  assert.equal(plain('x'.repeat(LONGEST_LINE + 1)).length, LONGEST_LINE + 1);
  const started = performance.now();
  plain('\u001b['.repeat(32 << 10));
  plain('\u001b]'.repeat(32 << 10));
  assert.ok(performance.now() - started < 1000, 'escapes without an end take no square of time');
});

test('a log keeps its newest lines within two bounds', () => {
  assert.equal(overflow([], 3, 10), 0);
  assert.equal(overflow([1, 1, 1, 1, 1], 3, 10), 2);
  assert.equal(overflow([9, 9, 1], 3, 10), 1);
  assert.equal(overflow([1, 99], 3, 10), 1);
  assert.equal(overflow(new Array(MOST_LINES + 7).fill(1)), 7);
});

test('durations', () => {
  const expected = [[0, '0.0 s'], [3.64, '3.6 s'], [9.96, '10 s'], [59.6, '1 min 0 s'], [125, '2 min 5 s'], [7260, '2 h 1 min'], [-1, '0.0 s'], [NaN, '']];
  for (const [seconds, text] of expected) assert.equal(duration(seconds), text);
});

test('a text of the daemon becomes a sentence', () => {
  for (const [text, expected] of [['why', 'Why.'], ['Done!', 'Done!'], ['docker ps failed', 'docker ps failed.'], ['', '']]) {
    assert.equal(sentence(text), expected);
  }
});

test('paths are shown as seen from the folder', () => {
  assert.equal(pathBelow('/w/app/.devcontainer/devcontainer.json', '/w/app/'), '.devcontainer/devcontainer.json');
  assert.equal(pathBelow('/w/apple', '/w/app'), '/w/apple');
  assert.equal(pathBelow(undefined, undefined), '');
});

test('each change has its words', () => {
  for (const change of ['modified', 'created', 'removed', 'unknown']) assert.match(changeText(change), / /);
  assert.equal(changeText(undefined), '');
});

test('one line says what there is', () => {
  const state = after({ ...SNAPSHOT, devcontainers: [devcontainer('x', { dirty: true }), devcontainer('y', { job: RUNNING })] });
  assert.equal(summary(state), '2 dev containers, 1 dirty, 1 operation, 2 containers');
  assert.equal(title(state), 'd-y: recreate – devcontainerd');
  assert.equal(title(after({ ...SNAPSHOT, devcontainers: [devcontainer('x', { dirty: true })] })), '1 dirty – devcontainerd');
  assert.equal(title(emptyState()), 'devcontainerd');
});

test('a job takes the seconds between its times', () => {
  const now = milliseconds('2026-11-27T19:11:05.8Z');
  assert.equal(jobSeconds(RUNNING, now), 2);
  assert.equal(Math.round(jobSeconds(ENDED, now) * 10), 36);
  assert.equal(jobSeconds(RUNNING, 0), 0);
  assert.equal(jobText(RUNNING, now), 'Recreate runs: 2.0 s');
  assert.equal(jobText(ENDED, now), 'Recreate succeeded after 3.6 s');
  assert.equal(jobText({ ...ENDED, state: 'cancelled' }, now), 'Recreate was cancelled after 3.6 s');
  assert.equal(jobText({ ...RUNNING, state: 'queued' }, now), 'Recreate waits for other operations to end: 2.0 s');
});

test('each refusal has its words', () => {
  const check = (status, message, hadToken, kind) => {
    const found = explain(status, message && { message, detail: 'why' }, hadToken);
    assert.equal(found.kind, kind, message);
    assert.match(found.title, /^[A-Z][^.]*\.$/);
    assert.equal(typeof found.detail, 'string');
    return found;
  };
  check(0, null, false, 'gone');
  const [none, wrong] = [false, true].map((hadToken) => check(401, 'Unauthorized', hadToken, 'token'));
  assert.notEqual(none.title, wrong.title);
  assert.equal(check(500, 'Could not list containers', false, 'docker').detail, 'Why.');
  check(500, 'Could not get containers.', false, 'docker');
  check(503, 'API closed', false, 'stopping');
  check(503, 'Too many streams', false, 'busy');
  check(503, 'Too many connections', false, 'busy');
  check(403, 'Forbidden', false, 'forbidden');
  check(409, 'Devcontainer operation in progress', false, 'error');
  check(502, null, false, 'error');
});

test('a screen reader hears what matters', () => {
  const before = after(SNAPSHOT);
  const check = (change, ...expected) => {
    const event = { type: 'devcontainer', revision: 101, ...devcontainer('x', change) };
    assert.deepEqual(announcements(before, reduce(before, event, 0)), expected);
  };
  assert.deepEqual(announcements(emptyState(), before), []);
  assert.deepEqual(announcements(before, before), []);
  check({ dirty: true }, 'd-x no longer matches its configuration.');
  check({ job: RUNNING }, 'd-x: Recreate runs.');
  check({ job: { ...RUNNING, state: 'queued' } }, 'd-x: Recreate is queued.');
  check({ job: ENDED }, 'd-x: Recreate succeeded after 3.6 s.');
  check({ remote_user: 'dev' });
  const removed = reduce(before, { type: 'devcontainer_removed', revision: 101, id: 'x' }, 0);
  assert.deepEqual(announcements(before, removed), ['d-x is no longer listed.']);
  const down = reduce(before, { type: 'warnings', revision: 101, warnings: ['w', 'containers cannot be listed: x'] }, 0);
  assert.deepEqual(announcements(before, down), ['Docker does not answer. The last known state is shown.']);
  assert.deepEqual(announcements(down, { ...down, warnings: ['w'] }), ['Docker answers again.']);
});

test('a flood is a number', () => {
  const many = Array.from({ length: 1000 }, (_, index) => devcontainer(String(index)));
  const before = after({ ...SNAPSHOT, devcontainers: many });
  const dirty = after({ ...SNAPSHOT, devcontainers: many.map((one) => ({ ...one, dirty: true })) });
  const said = announcements(before, dirty);
  assert.equal(said.length, 4);
  assert.equal(said[3], 'There are 997 more changes.');
});

test('a filter wants all of its words', () => {
  const one = devcontainer('x', { dirty: true, container: container('a', { ports: [{ port: 3000, host_port: 8080 }] }) });
  const text = searchable(one);
  for (const filter of ['', 'D-X', ' dirty  8080 ', '/w/ debian']) assert.ok(matches(filterWords(filter), text), filter);
  for (const filter of ['clean', 'dirty stopped']) assert.ok(!matches(filterWords(filter), text), filter);
});
