// Ports as links: pure functions, so that node can test them.

import { clean } from './words.mjs';

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;
const EVERYWHERE = new Set(['', '0.0.0.0', '::']);

/**
 * Returns how a port is shown: `text`, `href` or null if a browser cannot open it, and `note`, which says more.
 * `pageHost` is the host that the page came from.
 */
export function portView(port, pageHost) {
  const inside = portNumber(port?.port);
  const outside = portNumber(port?.host_port);
  const network = clean(port?.network, 10);
  const suffix = network === 'tcp' ? '' : `/${network}`;
  if (!outside) {
    return { text: `${inside ?? '?'}${suffix}`, href: null, note: 'It is exposed, but not published.' };
  }
  const text = `${outside === inside ? outside : `${outside} → ${inside ?? '?'}`}${suffix}`;
  const ip = typeof port.host_ip === 'string' ? port.host_ip : '';
  const where = EVERYWHERE.has(ip) ? 'all addresses' : clean(ip, 60);
  const note = `Port ${inside ?? '?'} of the container is published on ${where}.`;
  const host = network === 'tcp' ? linkHost(ip, pageHost) : null;
  const isHttps = [443, 8443].includes(inside);
  return { text, href: host && address(isHttps ? 'https' : 'http', host, outside), note };
}

/** Returns the host under which this browser can reach a port that is bound to `ip`, or null. */
function linkHost(ip, pageHost) {
  if (EVERYWHERE.has(ip)) return validHost(pageHost);
  const host = validHost(ip.includes(':') ? `[${ip}]` : ip);
  if (!host || !/^\d{1,3}(\.\d{1,3}){3}$|^\[/.test(host)) return null;
  // A loopback address leads to the browser's own machine, which is the daemon's only if the page came from there.
  if (!LOOPBACK.test(host)) return host;
  if (!LOOPBACK.test(pageHost)) return null;
  return pageHost === 'localhost' && host === '127.0.0.1' ? 'localhost' : host;
}

/** Returns a host name or address that can stand in a URL and nothing more, otherwise null. */
export function validHost(host) {
  if (typeof host !== 'string' || host.length > 253) return null;
  const isName = /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/i.test(host) && !host.includes('..');
  return isName || /^\[[0-9a-f:.]{2,45}\]$/i.test(host) ? host : null;
}

function address(scheme, host, port) {
  try {
    const url = new URL(`${scheme}://${host}:${port}/`);
    const isPlain = url.protocol === `${scheme}:` && url.username === '' && url.pathname === '/' && url.search === '';
    return isPlain ? url.href : null;
  } catch {
    return null;
  }
}

function portNumber(value) {
  return Number.isInteger(value) && value >= 1 && value <= 65535 ? value : null;
}
