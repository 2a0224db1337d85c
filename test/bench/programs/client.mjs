// The measuring end of a connection, run inside a network namespace; the same program measures the kernel and the stack.
//
//   client.mjs rtt HOST PORT MS                one byte there and back, over and over
//   client.mjs conn HOST PORT MS AT_ONCE       connect, GET /, read to the end, close
//   client.mjs idle HOST PORT COUNT            opens connections and holds them until stdin ends
//
// Prints one line of JSON.
import { connect } from 'node:net';
import { percentile } from '../lib/stats.mjs';

/** Round trips before the first that counts: code on the way gets compiled. */
const WARM_UP = 5_000;
/** Nobody answers for this long: the measurement failed, and says so instead of hanging. */
const STALL_MS = 3_000;

/** @param {string} host @param {number} port @param {number} ms */
function rtt(host, port, ms) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    const one = Buffer.from('x');
    /** @type {number[]} */
    const us = [];
    let sent = 0n;
    let count = -WARM_UP;
    let until = 0;
    const ping = () => {
      sent = process.hrtime.bigint();
      socket.write(one);
    };
    socket.setTimeout(STALL_MS, () => socket.destroy(new Error(`no answer within ${STALL_MS} ms`)));
    socket.once('error', reject);
    socket.once('connect', ping);
    socket.on('data', () => {
      const took = Number(process.hrtime.bigint() - sent) / 1e3;
      count++;
      if (count === 0) until = performance.now() + ms;
      else if (count > 0) us.push(took);
      if (until > 0 && performance.now() >= until) {
        socket.destroy();
        us.sort((a, b) => a - b);
        resolve({ count: us.length, p50Us: percentile(us, 0.5), p99Us: percentile(us, 0.99) });
        return;
      }
      ping();
    });
  });
}

/** @param {string} host @param {number} port @returns {Promise<boolean>} whether the answer came whole */
function once(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let head = '';
    let failed = false;
    socket.setTimeout(STALL_MS, () => socket.destroy(new Error('stalled')));
    socket.on('connect', () => socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`));
    socket.on('data', (d) => {
      if (head.length < 16) head += d.toString('latin1');
    });
    socket.on('error', () => (failed = true));
    socket.on('close', () => resolve(!failed && head.startsWith('HTTP/1.1 200')));
  });
}

/** @param {string} host @param {number} port @param {number} ms @param {number} atOnce */
async function conn(host, port, ms, atOnce) {
  await once(host, port);
  let done = 0;
  let errors = 0;
  const started = performance.now();
  const worker = async () => {
    while (performance.now() - started < ms) {
      if (await once(host, port)) done++;
      else if (++errors > 20) return;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return { count: done, errors, perSecond: done / ((performance.now() - started) / 1e3) };
}

/** @param {string} host @param {number} port @param {number} count */
async function idle(host, port, count) {
  /** @type {import('node:net').Socket[]} */
  const sockets = [];
  let errors = 0;
  const open = () =>
    new Promise((resolve) => {
      const s = connect({ host, port }, () => resolve(undefined));
      s.on('error', () => {
        errors++;
        resolve(undefined);
      });
      sockets.push(s);
    });
  const deadline = performance.now() + 4_000;
  while (sockets.length < count && performance.now() < deadline) {
    await Promise.all(Array.from({ length: Math.min(32, count - sockets.length) }, open));
  }
  process.stdout.write(`${JSON.stringify({ open: sockets.length - errors, errors })}\n`);
  for await (const _ of process.stdin);
  for (const s of sockets) s.destroy();
}

const [mode, host = '', port = '0', ...rest] = process.argv.slice(2);
const [a = 0, b = 0] = rest.map(Number);
try {
  if (mode === 'idle') await idle(host, Number(port), a);
  else {
    const result = mode === 'rtt' ? await rtt(host, Number(port), a) : await conn(host, Number(port), a, b);
    process.stdout.write(`${JSON.stringify(result)}\n`);
  }
} catch (e) {
  process.stderr.write(`${mode} ${host}:${port}: ${e instanceof Error ? e.message : String(e)}\n`);
  process.exitCode = 1;
}
