// On the stack: what the connections of client.mjs talk to. `server.mjs DOOR PORT`; says "listening" on stdout.
import { net, UnixDoor } from '@skbus/net';
import { fits, MODE, piece, WRONG } from '../lib/pattern.mjs';

const [path, port] = process.argv.slice(2);
const REPORT_MS = 10;
const CHUNK = 32_768;
const SLOW_CHUNK = 4_096;
const EVERY_MS = 5;
const AGAIN_MS = 50;

/** @typedef {import('@skbus/net').Socket} Socket */

/** Says how far it has come, at most every few milliseconds: bytes that have reached the program. @param {Socket} c */
function receive(c) {
  let at = 0;
  let told = 0;
  const timer = setInterval(() => {
    if (at === told || c.destroyed) return;
    told = at;
    report(c, BigInt(at));
  }, REPORT_MS);
  c.on('close', () => clearInterval(timer));
  return (/** @type {Buffer} */ data) => {
    if (!fits(data, at)) {
      report(c, WRONG);
      c.end();
    }
    at += data.length;
  };
}

/** @param {Socket} c @param {bigint} value */
function report(c, value) {
  const b = Buffer.alloc(8);
  b.writeBigUInt64BE(value);
  c.write(b);
}

/** Sends the stream at a steady rate until the other end has gone. @param {Socket} c @param {number} chunk */
function send(c, chunk) {
  let at = 0;
  let room = true;
  c.on('drain', () => (room = true));
  const timer = setInterval(() => {
    if (!room || c.destroyed) return;
    room = c.write(piece(at, chunk));
    at += chunk;
  }, EVERY_MS);
  c.on('close', () => clearInterval(timer));
}

/** @param {Socket} c */
function serve(c) {
  c.on('error', () => {});
  c.once('data', (/** @type {Buffer} */ first) => {
    const mode = String.fromCharCode(first[0] ?? 0);
    const rest = first.subarray(1);
    c.on('end', () => mode !== MODE.slow && c.end());
    if (mode === MODE.in) {
      const take = receive(c);
      take(rest);
      c.on('data', take);
    } else if (mode === MODE.out) send(c, CHUNK);
    else if (mode === MODE.slow) send(c, SLOW_CHUNK);
    else if (mode === MODE.close) c.end(rest);
    else {
      if (rest.length > 0) c.write(rest);
      c.pipe(c);
    }
  });
}

/** Serves, and serves again when the stack's socket layer was away. */
function start() {
  const door = new UnixDoor(path);
  const again = () => setTimeout(start, AGAIN_MS);
  door.onClose(again);
  door.opened().then(
    () => {
      const server = net.createServer({ door, allowHalfOpen: true }, serve);
      server.on('error', (/** @type {Error} */ e) => {
        process.stderr.write(`server: ${e.message}\n`);
        door.close();
      });
      server.listen(Number(port), () => process.stdout.write('listening\n'));
    },
    () => {},
  );
}
start();
