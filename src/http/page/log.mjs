// The log of an operation, followed while it is shown.

import { copy, make, setTextOrHide } from './dom.mjs';
import { isActive, jobKey } from './state.mjs';
import { parsed, pause, readStream } from './streams.mjs';
import { clean, count, overflow, plain } from './words.mjs';

/**
 * A log that is shown. There is one at a time, as each takes a connection, of which a browser has six. It owns its nodes,
 * so that a filter that hides the card loses no line.
 */
export class Log {
  id;
  /** Tells the operation from others of the dev container. Empty if there was none. */
  #key;
  #isQueued;
  #parts;
  #note = 'The page waits for the log.';
  /** The number of the last line. */
  #lastId = null;
  #hasEnded = false;
  #isAtEnd = true;
  #pending = [];
  #lengths = [];
  #dropped = 0;
  #isDrawing = false;
  #controller = new AbortController();

  /** `jobOf` returns the dev container's operation as it is now, `refused` is called if the daemon wants another token. */
  constructor({ id, name, job, jobOf, refused }) {
    this.id = id;
    this.#key = jobKey(job);
    this.#isQueued = job?.state === 'queued';
    const { node, parts } = copy('panel');
    this.panel = node;
    this.#parts = parts;
    this.job = jobOf;
    this.refused = refused;
    const { view } = parts;
    view.setAttribute('aria-label', `Log of ${name}`);
    view.addEventListener('scroll', () => {
      this.#isAtEnd = view.scrollHeight - view.scrollTop - view.clientHeight < 40;
    });
    this.#draw();
    this.#follow();
  }

  close() {
    this.#controller.abort();
    if (this.panel.contains(document.activeElement)) this.panel.closest('article')?.focus();
    this.panel.remove();
  }

  /** True if the log is that of this operation. */
  isOf(job) {
    return this.#key !== '' && this.#key === jobKey(job);
  }

  /** True if another operation runs by now. One that was queued has a new time because its turn has come. */
  isPast() {
    const job = this.job();
    if (!isActive(job) || this.isOf(job)) return false;
    if (this.#isQueued) {
      this.#key = jobKey(job);
      this.#isQueued = job.state === 'queued';
      return false;
    }
    return this.#hasEnded;
  }

  async #follow() {
    const { signal } = this.#controller;
    for (let attempt = 0; !signal.aborted && !this.#hasEnded; attempt += 1) {
      try {
        await readStream(`devcontainers/${encodeURIComponent(this.id)}/logs?follow=true`, {
          signal,
          lastId: this.#lastId,
          take: (events) => {
            attempt = 0;
            return this.#take(events);
          },
        });
        // A stream that ends without an outcome was broken off, unless there is nothing to wait for.
        if (!this.#hasEnded && !isActive(this.job())) {
          this.#hasEnded = true;
          this.#note = this.#lastId === null ? 'There is no log. The daemon forgets logs when it ends.' : '';
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error.failure?.kind === 'token') return this.refused();
        this.#note = `${error.failure?.title ?? 'The log was broken off.'} The page tries again by itself.`;
      }
      this.#drawSoon();
      if (this.#hasEnded) return;
      await new Promise((resolve) => setTimeout(resolve, pause(attempt, Math.random())));
      // Numbers of lines mean nothing in the log of another operation.
      if (this.job() && this.#key !== '' && !this.isOf(this.job())) this.#begin();
    }
  }

  #begin() {
    this.#key = jobKey(this.job());
    this.#lastId = null;
    this.#pending = [];
    this.#lengths = [];
    this.#dropped = 0;
    this.#parts.view.replaceChildren();
  }

  async #take(events) {
    for (const event of events) {
      const line = parsed(event);
      if (typeof line?.output !== 'string') continue;
      if (event.id !== null && /^\d+$/.test(event.id)) this.#lastId = event.id;
      this.#pending.push({ text: plain(line.output), isError: line.level === 'error', outcome: line.outcome });
      this.#note = '';
      if (line.outcome) {
        this.#hasEnded = true;
        this.#note = `The log has ended: ${clean(line.outcome, 40)}.`;
      }
    }
    this.#drawSoon();
    // A flood waits in the daemon, which keeps the newest lines. A tab that is hidden draws nothing.
    if (this.#pending.length > 500 && !document.hidden) await new Promise(requestAnimationFrame);
    else if (this.#pending.length > 500) this.#draw();
  }

  #drawSoon() {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      this.#draw();
    });
  }

  /** Adds the lines that have come, and removes the oldest ones beyond the bound. The end stays in view if it was. */
  #draw() {
    const { view, note } = this.#parts;
    const lines = this.#pending.map(({ text, isError, outcome }) => {
      const line = make('div', text, isError ? 'line error' : 'line');
      if (outcome) line.classList.add('outcome');
      return line;
    });
    this.#lengths.push(...this.#pending.map(({ text }) => text.length));
    this.#pending = [];
    view.append(...lines);
    const dropped = overflow(this.#lengths);
    this.#lengths.splice(0, dropped);
    for (let index = 0; index < dropped; index += 1) view.firstElementChild.remove();
    this.#dropped += dropped;
    if (this.#isAtEnd) view.scrollTop = view.scrollHeight;
    const older = this.#dropped > 0 ? `The first ${count(this.#dropped, 'line')} went out of view.` : '';
    setTextOrHide(note, `${this.#note} ${older}`.trim());
  }
}
