// Opens pages in a headless Chromium, and does there what tests/e2e/page/tab.rs says: each line of the standard input is
// a JSON string, the body of a function. The answer is a line of JSON, {"value"} or {"error"}.
//
// node driver.mjs TOOLS CHROMIUM: the directory that has playwright-core and axe-core, and the browser.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const [tools, executablePath] = process.argv.slice(2);
const require = createRequire(`${tools}/`);
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
/** It resolves `*.example` and no other name, so that nothing leaves the machine. */
const RULES = 'MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1';

const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking',
    '--disable-component-update', `--host-resolver-rules=${RULES}`,
  ],
});
const context = await browser.newContext();
const page = await context.newPage();

/** What no page may do: write errors and warnings to the console, and ask other addresses for something. */
const problems = [];
page.on('console', (message) => {
  if (['error', 'warning'].includes(message.type())) problems.push(`${message.type()}: ${message.text()}`);
});
page.on('pageerror', (error) => problems.push(`exception: ${error}`));
page.on('request', (request) => {
  const { protocol, host } = new URL(request.url());
  if (protocol !== 'data:' && host !== new URL(page.url()).host && !request.isNavigationRequest()) {
    problems.push(`request: ${request.url()}`);
  }
});

/** Waits until a text is not shown any more. */
const vanish = (text) => page.getByText(text).filter({ visible: true }).first().waitFor({ state: 'hidden' });
const article = (name) => page.getByRole('article', { name, exact: true });
/** Waits until a text is shown, below `at`. */
const see = (text, at = page) => at.getByText(text).filter({ visible: true }).first().waitFor();
/** Waits until the page takes clicks, which it does from half a second after its scripts have run. */
const ready = () => page.evaluate(() => new Promise((resolve) => {
  const { domContentLoadedEventEnd } = performance.getEntriesByType('navigation')[0];
  setTimeout(resolve, domContentLoadedEventEnd + 500 - performance.now());
}));

async function press(name) {
  await ready();
  await page.getByRole('button', { name, exact: true }).click();
}

/** Presses a button and the one of the dialog that it opens, which takes no double click. */
async function confirm(name, yes) {
  await press(name);
  await page.getByRole('dialog').waitFor();
  await page.waitForTimeout(450);
  await press(yes);
}

/** Waits until the page has drawn what it knows, as far as it does that frame by frame. */
const drawn = () => page.evaluate(() => new Promise((resolve) => {
  requestAnimationFrame(() => requestAnimationFrame(resolve));
}));

/** Returns what axe finds, in the light and in the dark colours. */
async function axe() {
  const found = [];
  await page.evaluate(`self.axe ?? (() => { ${AXE} })(); undefined`);
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    const { violations } = await page.evaluate(() => axe.run({ resultTypes: ['violations'] }));
    for (const { id, nodes } of violations) {
      found.push(...nodes.map(({ html, failureSummary }) => `${colorScheme}: ${id}: ${html}: ${failureSummary}`));
    }
  }
  return found;
}

/** Returns by how many pixels the page is wider than its window. */
async function overflow(width) {
  await page.setViewportSize({ width, height: 900 });
  await drawn();
  return page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
}

const known = { page, context, problems, article, see, vanish, press, confirm, drawn, axe, overflow };
const AsyncFunction = (async () => {}).constructor;
for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const body = new AsyncFunction(...Object.keys(known), JSON.parse(line));
    answer = { value: (await body(...Object.values(known))) ?? null };
  } catch (error) {
    const shown = await page.evaluate(() => document.body.innerText).catch(String);
    answer = { error: `${error.stack ?? error}\nThe page shows:\n${shown.slice(0, 4000)}\n${problems.join('\n')}` };
  }
  console.log(JSON.stringify(answer));
}
await browser.close();
