import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LONGEST_ITEM, pause, splitEvents } from '../../src/http/page/streams.mjs';

/** Feeds a text in pieces of each length, and expects the same events. */
function checkStream(text, expected) {
  for (let length = 1; length <= text.length; length += 1) {
    let rest = '';
    const found = [];
    for (let at = 0; at < text.length; at += length) {
      const split = splitEvents(rest, text.slice(at, at + length));
      rest = split.rest;
      found.push(...split.events);
    }
    assert.deepEqual(found, expected, `pieces of ${length}`);
  }
}

test('events are read in any pieces', () => {
  const text = 'retry: 500\n\nid: 7\ndata: {"a":"b: c"}\n\n: heartbeat\n\nevent: x\nid: 8\ndata: 1\ndata: 2\n\nid: 9\ndata: cut';
  checkStream(text, [{ id: '7', data: '{"a":"b: c"}' }, { id: '8', data: '1\n2' }]);
  checkStream('data:1\n\ndata: \n\n', [{ id: null, data: '1' }, { id: null, data: '' }]);
});

test('an item has a longest length', () => {
  const half = 'x'.repeat(LONGEST_ITEM / 2);
  assert.throws(() => splitEvents(half, `${half}x`), RangeError);
});

test('pauses grow to half a minute', () => {
  assert.deepEqual([0, 1, 2].map((attempt) => pause(attempt, 1)), [500, 1000, 2000]);
  assert.equal(pause(99, 1), 30_000);
  assert.equal(pause(0, 0), 375);
});
