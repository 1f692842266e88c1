import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const FILES = new URL('../../src/http/page/', import.meta.url);
const read = (name) => readFileSync(new URL(name, FILES), 'utf8');
const SCRIPTS = readdirSync(FILES).filter((name) => name.endsWith('.mjs'));

test('no script makes HTML or code of text', () => {
  assert.ok(SCRIPTS.length > 5);
  const forbidden = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\('(on|style)/;
  for (const name of SCRIPTS) assert.doesNotMatch(read(name), forbidden, name);
});

test('nothing needs more than the policy of the page allows', () => {
  assert.doesNotMatch(read('index.html'), /\son[a-z]+=|\sstyle=|<style|<script(?![^>]* src=)/);
  for (const name of ['index.html', 'style.css']) {
    const content = read(name).replace('http://www.w3.org/2000/svg', '');
    assert.doesNotMatch(content, /https?:|\/\/[a-z]|@import|url\(/, name);
  }
});

test('the browser loads all scripts at once', () => {
  const named = [...read('index.html').matchAll(/page\/([a-z]+\.mjs)/g)].map(([, name]) => name);
  assert.deepEqual(named.sort(), SCRIPTS.sort());
});

test('each part that a script names is in a template, and each id in the page', () => {
  const page = read('index.html');
  for (const name of SCRIPTS) {
    for (const [, id] of read(name).matchAll(/\$\('([a-z-]+)'\)/g)) assert.ok(page.includes(`id="${id}"`), id);
    if (!read(name).includes('copy(')) continue;
    for (const [, dotted, quoted] of read(name).matchAll(/\bparts(?:\.([a-z]+)|\['([a-z-]+)'\])/g)) {
      const part = dotted ?? quoted;
      assert.ok(page.includes(`data-part="${part}"`), part);
    }
  }
});
