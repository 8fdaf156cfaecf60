// What the tests need of the machine: processes that do not outlive them, ports, requests, and waiting for what has no event.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { PATIENCE, within } from './client.mjs';

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
process.on('SIGTERM', () => process.exit(143));

/** A process that is gone when the tests are. `log` hears what it prints; `ended` is told `{code, signal}`, also when it never began. */
export function launch(program, args, { log, ...options } = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  running.add(child);
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', log);
  const ended = new Promise((done) => {
    const end = (code, signal) => {
      running.delete(child);
      done({ code, signal });
    };
    child.on('error', (error) => {
      log(error.message);
      end(error.code, null);
    });
    child.on('close', end);
  });
  return { child, ended };
}

/** A port that was free a moment ago. */
export async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Asks until `probe` gives something other than undefined, for what has no event to wait for (rows, readiness). */
export async function eventually(what, probe, ms = PATIENCE) {
  const deadline = Date.now() + ms;
  let last;
  do {
    try {
      const found = await probe();
      if (found !== undefined) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await delay(20);
  } while (Date.now() < deadline);
  throw new Error(`waited ${ms} ms for ${what}${last ? `; last: ${last.message}` : ''}`, { cause: last });
}

/** One request on a connection of its own. `body` is sent as it is, `json` as JSON; `options` (`ca`, `localAddress`) are Node's. */
export function request(url, { method = 'GET', headers = {}, token, json, body, ms = PATIENCE, ...options } = {}) {
  const payload = json === undefined ? body : JSON.stringify(json);
  const asked = new Promise((done, fail) => {
    const { request: open } = url.startsWith('https:') ? https : http;
    const call = open(url, {
      ...options,
      method,
      agent: false,
      headers: {
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...(payload === undefined || headers['transfer-encoding'] ? {} : { 'content-length': Buffer.byteLength(payload) }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
    });
    call.on('error', fail);
    call.on('upgrade', (response, socket) => {
      socket.destroy();
      done({ status: response.statusCode, headers: response.headers, text: '' });
    });
    call.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => { text += part; });
      response.on('error', fail);
      response.on('end', () => done({
        status: response.statusCode,
        headers: response.headers,
        text,
        get body() {
          return JSON.parse(text);
        },
      }));
    });
    call.end(payload);
  });
  return within(ms, `the answer to ${method} ${url}`, asked);
}
