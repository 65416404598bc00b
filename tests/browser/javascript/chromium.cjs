// Headless Chromium with a voice from a file, driven over its debugging protocol.
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const esbuild = require('esbuild');
const WebSocket = require('ws');

const PATIENCE_MS = 30_000;

/** Returns both libraries, unmodified, as one script for a page. */
function libraries() {
  const contents = 'globalThis.JsSIP = require("jssip"); globalThis.SIP = require("sip.js");';
  const nodePaths = (process.env.NODE_PATH || '').split(path.delimiter);
  const built = esbuild.buildSync({
    stdin: { contents, resolveDir: __dirname },
    bundle: true,
    write: false,
    nodePaths,
    define: { global: 'globalThis' },
  });
  return built.outputFiles[0].text;
}

/** Serves the page and the libraries that it loads, on a free port of this machine. */
function serve(page) {
  const files = {
    '/': [fs.readFileSync(page), 'text/html'],
    '/libraries.js': [libraries(), 'text/javascript'],
  };
  const server = http.createServer((request, response) => {
    const found = files[request.url];
    response.writeHead(found ? 200 : 404, { 'content-type': found ? found[1] : 'text/plain' });
    response.end(found ? found[0] : '');
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

/** Waits until something is there. */
async function wait(what, look) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; ) {
    const found = look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no ${what}`);
}

class Chromium {
  /** Starts it with a voice, and opens a page. */
  static async open(page, voice) {
    const server = await serve(page);
    const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'chromium-'));
    const child = spawn(
      'chromium',
      [
        '--headless=new',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-dev-shm-usage',
        '--no-first-run',
        '--ignore-certificate-errors',
        '--autoplay-policy=no-user-gesture-required',
        '--use-fake-ui-for-media-stream',
        '--use-fake-device-for-media-stream',
        `--use-file-for-fake-audio-capture=${voice}`,
        '--allow-loopback-in-peer-connection',
        '--remote-debugging-port=0',
        `--user-data-dir=${profile}`,
        'about:blank',
      ],
      { stdio: 'ignore' },
    );
    const made = new Chromium();
    Object.assign(made, { server, profile, child, next: 0, waiting: new Map() });
    const file = path.join(profile, 'DevToolsActivePort');
    const text = await wait('DevToolsActivePort', () => fs.existsSync(file) && fs.readFileSync(file, 'utf8'));
    const [port] = text.split('\n');
    const list = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
    const target = list.find(({ type }) => type === 'page');
    made.socket = new WebSocket(target.webSocketDebuggerUrl, { maxPayload: 256 * 1024 * 1024 });
    await new Promise((resolve, reject) => {
      made.socket.once('open', resolve);
      made.socket.once('error', reject);
    });
    made.socket.on('message', (data) => {
      const { id, result, error, method, params } = JSON.parse(data);
      const waiter = made.waiting.get(id);
      if (waiter) {
        made.waiting.delete(id);
        waiter(error ? { exceptionDetails: { text: error.message } } : result);
      } else if (process.env.DEBUG_PAGE && method === 'Runtime.consoleAPICalled') {
        console.error(...params.args.map(({ value }) => value));
      }
    });
    await made.command('Runtime.enable');
    await made.command('Page.enable');
    await made.command('Page.navigate', { url: `http://127.0.0.1:${server.address().port}/` });
    for (const end = Date.now() + PATIENCE_MS; ; ) {
      if (await made.run('typeof JsSIP === "object" && typeof use === "function"')) break;
      if (Date.now() > end) throw new Error('the page does not load');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return made;
  }

  command(method, params = {}) {
    const id = ++this.next;
    this.socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }

  /** Runs an expression in the page, and returns its value. */
  async run(expression) {
    const params = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.command('Runtime.evaluate', params);
    if (exceptionDetails) {
      const { text, exception } = exceptionDetails;
      throw new Error(`${text} ${exception ? exception.description : ''}`);
    }
    return result.value;
  }

  async close() {
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill();
    await gone;
    this.server.close();
    fs.rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

module.exports = { Chromium };
