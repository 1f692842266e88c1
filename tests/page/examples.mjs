// What the tests of the page show it.

import { emptyState, reduce } from '../../src/http/page/state.mjs';

export const RUNNING = { kind: 'recreate', state: 'running', started_at: '2026-11-27T19:11:03.8Z' };
export const ENDED = { ...RUNNING, state: 'succeeded', finished_at: '2026-11-27T19:11:07.4Z' };

export const container = (id, more = {}) => ({ id, name: `c-${id}`, image: 'debian:13', running: true, status: 'running', ...more });
export const devcontainer = (id, more = {}) => ({ id, name: `d-${id}`, workspace_folder: `/w/${id}`, status: 'running', dirty: false, ...more });

/** Applies events one second after another, the first at 10 s. */
export function after(...events) {
  return events.reduce((state, event, index) => reduce(state, event, 10_000 + index * 1000), emptyState());
}

export const SNAPSHOT = {
  type: 'snapshot',
  revision: 100,
  containers: [container('a'), container('b')],
  devcontainers: [devcontainer('x')],
  warnings: ['w'],
};
