// Small changes of the document, which leave alone what is right already.

export const $ = (id) => document.getElementById(id);

/** Setting the same text again would make a screen reader say it again, and the browser lay it out again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Hides a node or shows it. Focus that would be lost goes to a neighbour. */
export function setShown(node, isShown) {
  if (node.hidden === !isShown) return;
  const hadFocus = node.contains(document.activeElement);
  node.hidden = !isShown;
  if (!isShown && hadFocus) {
    // The button that opens the log is always there, and does no harm if a key is still held.
    const neighbour = node.closest('.actions')?.querySelector('[data-action=log]');
    (neighbour ?? node.closest('article') ?? $('main')).focus();
  }
}

export function setTextOrHide(node, text) {
  setText(node, text);
  setShown(node, text !== '');
}

export function setTone(node, tone) {
  if (node.dataset.tone !== tone) node.dataset.tone = tone;
}

export function make(tag, text, className) {
  const node = document.createElement(tag);
  node.textContent = text;
  if (className) node.className = className;
  return node;
}

/** Draws a list of texts, unless it shows them already. */
export function drawTexts(list, shown) {
  const before = [...list.children].map((node) => node.textContent);
  const isSame = before.length === shown.length && before.every((text, index) => text === shown[index]);
  if (!isSame) list.replaceChildren(...shown.map((text) => make('li', text)));
}

/** Returns a copy of a template, and its parts by name. */
export function copy(template) {
  const node = $(template).content.firstElementChild.cloneNode(true);
  const named = [...node.querySelectorAll('[data-part]')].map((part) => [part.dataset.part, part]);
  return { node, parts: Object.fromEntries(named) };
}

/** Puts nodes into a list in this order, and moves no node that already stands right, so that focus stays. */
export function arrange(list, nodes) {
  const wanted = new Set(nodes);
  const focused = document.activeElement;
  for (const node of [...list.children]) {
    if (wanted.has(node)) continue;
    if (node.contains(focused)) $('devcontainers-title').focus();
    node.remove();
  }
  let at = list.firstElementChild;
  for (const node of nodes) {
    if (node === at) at = at.nextElementSibling;
    else list.insertBefore(node, at);
  }
  if (focused !== document.activeElement && list.contains(focused)) focused.focus({ preventScroll: true });
}
