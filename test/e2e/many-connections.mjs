// The Linux peer's end of many connections at once:  many-connections.mjs HOST PORT COUNT
// Opens them, says {"open": n}; then per line on stdin:
//   busy N   sends 100 bytes N times over each and reads them back, says {"echoed": connections, "wrong": n, "ms": t}
//   close    says {"closed": n} when all have ended
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const [host, port, count] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
/** SYNs on their way at once. */
const AT_ONCE = 200;
const PIECE = 100;

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

/** @type {import('node:net').Socket[]} */
const sockets = [];
let errors = 0;

const open = () =>
  new Promise((resolve) => {
    const s = connect({ host, port });
    s.once('connect', () => {
      sockets.push(s);
      resolve();
    });
    s.on('error', () => {
      errors++;
      resolve();
    });
  });

/** One round over one connection. @returns {Promise<boolean>} the same bytes came back */
const echo = (s, salt) =>
  new Promise((resolve) => {
    const out = Buffer.alloc(PIECE, salt);
    let got = Buffer.alloc(0);
    const onData = (d) => {
      got = Buffer.concat([got, d]);
      if (got.length < PIECE) return;
      s.off('data', onData);
      resolve(got.equals(out));
    };
    s.on('data', onData);
    s.once('close', () => resolve(false));
    s.write(out);
  });

let next = 0;
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    while (next++ < count) await open();
  }),
);
say({ open: sockets.length, errors });

for await (const line of createInterface({ input: process.stdin })) {
  const [word, n] = line.split(' ');
  if (word === 'busy') {
    const from = performance.now();
    let wrong = 0;
    for (let i = 0; i < Number(n); i++) {
      const ok = await Promise.all(sockets.map((s, j) => echo(s, (i * 31 + j) & 255)));
      wrong += ok.filter((x) => !x).length;
    }
    say({ echoed: sockets.length, wrong, ms: Math.round(performance.now() - from) });
  } else if (word === 'close') {
    await Promise.all(sockets.map((s) => new Promise((done) => void s.once('close', done).end())));
    say({ closed: sockets.length });
    process.exit(0);
  }
}
