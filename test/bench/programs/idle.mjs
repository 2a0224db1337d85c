// Opens connections from inside a network namespace and holds them until stdin ends.
//
//   idle.mjs HOST PORT COUNT
//
// Prints one line of JSON.
import { connect } from 'node:net';

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

const [host = '', port = '0', count = '0'] = process.argv.slice(2);
await idle(host, Number(port), Number(count));
