import type { Writable } from 'node:stream';

/** Writes pieces as fast as the reader takes them, then ends; stops when the reader has gone. */
export function pump(to: Writable, pieces: Iterator<Buffer>): void {
  const go = (): void => {
    while (!to.destroyed) {
      const { value, done } = pieces.next();
      if (done) {
        to.end();
        return;
      }
      if (!to.write(value)) {
        to.once('drain', go);
        return;
      }
    }
  };
  go();
}
