import type { Duplex } from 'node:stream';
import { pump } from './pump.ts';

// The small services of the old internet, on any stream socket.

/** RFC 862: what comes goes back. */
export function echo(c: Duplex & { setNoDelay(on: boolean): unknown }): void {
  c.setNoDelay(true);
  c.on('error', () => {});
  c.pipe(c);
}

/** RFC 863: what comes is thrown away. */
export function discard(c: Duplex): void {
  c.on('error', () => {});
  c.on('end', () => c.end());
  c.resume();
}

/** RFC 867: the time of day in words. */
export function daytime(c: Duplex): void {
  c.on('error', () => {});
  c.resume();
  c.end(`${new Date().toUTCString()}\r\n`);
}

/** RFC 864: printable characters, 72 to a line, each line one further; as fast as the reader takes them. */
export function chargen(c: Duplex): void {
  c.on('error', () => {});
  c.resume();
  c.on('end', () => c.destroy());
  pump(c, forEver(PATTERN));
}

const FIRST = 0x20;
const CHARS = 95;
const LINE = 72;

/** All 95 lines, several times over, so that one write is worth its while. */
const PATTERN: Buffer = (() => {
  const lines: string[] = [];
  for (let n = 0; n < CHARS; n++) {
    let line = '';
    for (let i = 0; i < LINE; i++) line += String.fromCharCode(FIRST + ((n + i) % CHARS));
    lines.push(`${line}\r\n`);
  }
  return Buffer.from(lines.join('').repeat(9));
})();

function* forEver(piece: Buffer): Generator<Buffer> {
  for (;;) yield piece;
}
