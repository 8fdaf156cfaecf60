// A site of deploy/nginx as it is shipped, save for ports, paths and certificate, in a real nginx.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, freePort, request } from '../clients/harness.mjs';
import { Program, output, read, scratch } from './program.mjs';

export const NAME = 'calls.example.com';

/** nginx as Debian sets it up around its sites, with files of its own. */
export class Nginx {
  #addresses = 10;

  /** The site of this file, before servers on these ports of the machine. */
  static async before(defer, file, ...upstreams) {
    const nginx = new Nginx();
    nginx.dir = await scratch(defer, 'nginx');
    [nginx.plainPort, nginx.port] = [await freePort(), await freePort()];
    nginx.url = `https://127.0.0.1:${nginx.port}`;
    const { dir } = nginx;
    output('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${NAME}`,
      '-addext', `subjectAltName=DNS:${NAME},IP:127.0.0.1`, '-keyout', join(dir, 'privkey.pem'), '-out', join(dir, 'fullchain.pem'),
    ]);
    nginx.ca = readFileSync(join(dir, 'fullchain.pem'));
    mkdirSync(join(dir, 'temp'));
    writeFileSync(join(dir, 'site.conf'), nginx.#place(read(`deploy/nginx/${file}`), upstreams));
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${join(dir, 'temp', kind)};`);
    writeFileSync(join(dir, 'nginx.conf'), `
      user root; worker_processes 1; pid ${join(dir, 'pid')}; daemon off;
      events { worker_connections 256; }
      http { ${temp.join(' ')} gzip on; include ${join(dir, 'site.conf')}; }`);
    const args = ['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', 'stderr'];
    output('nginx', ['-t', ...args]);
    nginx.program = new Program(defer, 'nginx', args);
    await eventually(`nginx to answer:\n${nginx.program.logs}`, async () =>
      ((await nginx.http('/health/live')).status === 200 ? true : undefined));
    return nginx;
  }

  /** Every replacement must find its line: what is tried here is what is shipped. */
  #place(site, upstreams) {
    const replace = (pattern, by) => {
      assert.match(site, pattern);
      site = site.replaceAll(new RegExp(pattern, `${pattern.flags}g`), by);
    };
    replace(/listen (\[::\]:)?80;/, (_, six) => `listen ${six ? '[::1]' : '127.0.0.1'}:${this.plainPort};`);
    replace(/listen (\[::\]:)?443 /, (_, six) => `listen ${six ? '[::1]' : '127.0.0.1'}:${this.port} `);
    const shipped = [...new Set([...site.matchAll(/^ +server (\S+:3001);$/gm)].map(([, address]) => address))];
    assert.equal(shipped.length, upstreams.length, `${shipped} are the servers of the site`);
    replace(/^( +)server (\S+:3001);$/m, (_, space, address) => `${space}server 127.0.0.1:${upstreams[shipped.indexOf(address)]};`);
    replace(/\/etc\/letsencrypt\/live\/calls\.example\.com\//, `${this.dir}/`);
    replace(/\/var\/log\/nginx\//, `${this.dir}/`);
    return site;
  }

  http(path, options) {
    return request(this.url + path, { ca: this.ca, ...options });
  }

  login(localAddress, headers = {}) {
    const json = { username: 'nobody-of-this-name', password: 'a wrong password' };
    return this.http('/api/login', { method: 'POST', json, localAddress, headers });
  }

  /** A new account, made from an address of its own so that none uses up another's logins. */
  async account(name, localAddress = `127.0.1.${this.#addresses++}`) {
    const username = `${name}-${Date.now().toString(36)}-${this.#addresses}`;
    const { status, text } = await this.http('/api/register', {
      method: 'POST', json: { username, password: `${username} password` }, localAddress,
    });
    assert.equal(status, 201, text);
    const { user, token, refreshToken } = JSON.parse(text);
    return { id: user.id, username, token, refreshToken };
  }

  log(name) {
    return readFileSync(join(this.dir, `video-call.${name}.log`), 'utf8');
  }
}
