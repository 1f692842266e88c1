// The service worker of the attacking site: reads and posts what its page tells it, and says what it got to see.
'use strict';

addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));
addEventListener('message', (event) => event.waitUntil((async () => {
    const [reads, acts] = event.data;
    const seen = [];
    const request = async (url, options) => {
        try {
            const response = await fetch(url, options);
            const text = await response.text();
            seen.push(response.type === 'opaque' ? 'opaque' : `readable ${response.status} ${text}`);
        } catch (error) {
            seen.push(`error: ${error}`);
        }
    };
    const reading = reads.flatMap((url) => [
        request(url, {mode: 'cors'}),
        request(url, {mode: 'no-cors', credentials: 'include'}),
    ]);
    const acting = acts.map((url) => request(url, {method: 'POST', mode: 'no-cors', keepalive: true}));
    await Promise.all([...reading, ...acting]);
    event.source.postMessage(seen.join('; '));
})()));
