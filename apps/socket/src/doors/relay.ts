import type { Duplex } from 'node:stream';

/** Sockets of Node and of the stack alike. */
export type Stream = Duplex & { resetAndDestroy(): unknown };

/**
 * Joins two connections: bytes both ways with back-pressure, the end of one direction passed on as such (half-close), and a
 * connection that breaks breaks the other one, by a reset as it should be.
 */
export function relay(a: Stream, b: Stream): void {
  oneWay(a, b);
  oneWay(b, a);
  a.pipe(b);
  b.pipe(a);
}

function oneWay(from: Stream, to: Stream): void {
  from.on('error', () => to.resetAndDestroy());
  from.on('close', () => {
    // Closed before both directions came to their end: nothing more can go the other way.
    if (!from.readableEnded || !from.writableFinished) to.destroy();
  });
}
