import assert from 'node:assert/strict';
import { test } from 'node:test';

import { portView, validHost } from '../../src/http/page/ports.mjs';

test('a port is a link only where this browser can open it', () => {
  const check = (host_ip, pageHost, expected, more = {}) => {
    const view = portView({ port: 3000, network: 'tcp', host_ip, host_port: 8080, ...more }, pageHost);
    assert.equal(view.href, expected, `${host_ip} from ${pageHost}`);
  };
  check('0.0.0.0', 'localhost', 'http://localhost:8080/');
  check('', 'devbox.example', 'http://devbox.example:8080/');
  check('::', '[::1]', 'http://[::1]:8080/');
  check('127.0.0.1', 'localhost', 'http://localhost:8080/');
  check('127.0.0.1', '127.0.0.1', 'http://127.0.0.1:8080/');
  check('::1', 'localhost', 'http://[::1]:8080/');
  check('127.0.0.1', 'devbox.example', null);
  check('192.0.2.7', 'localhost', 'http://192.0.2.7:8080/');
  check('0.0.0.0', 'localhost', 'http://localhost/', { host_port: 80 });
  check('0.0.0.0', 'localhost', 'https://localhost:8443/', { port: 8443, host_port: 8443 });
  check('0.0.0.0', 'localhost', null, { network: 'udp' });
  check('0.0.0.0', 'localhost', null, { host_port: undefined });
});

test('a hostile port is no link', () => {
  const hosts = ['javascript:alert(1)', 'a@evil.example', 'evil.example/', 'evil.example#', 'a b', '1.2.3.4:1@x', '[::1]@x', 'evil.example', '999', '..'];
  for (const host_ip of hosts) {
    assert.equal(portView({ port: 1, network: 'tcp', host_ip, host_port: 8080 }, 'localhost').href, null, host_ip);
  }
  for (const host_port of [0, 65536, -1, 1.5, '80', '1/../', null]) {
    assert.equal(portView({ port: 1, network: 'tcp', host_ip: '', host_port }, 'localhost').href, null);
  }
  for (const host of ['', 'a/b', 'a:b', 'a..b', '[x]', 'a?', undefined, 'x'.repeat(254)]) assert.equal(validHost(host), null);
});
