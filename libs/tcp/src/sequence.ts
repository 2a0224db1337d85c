/**
 * Sequence number arithmetic (RFC 9293 3.4).
 *
 * On the wire a sequence number is 32 bits and wraps. Inside a sock it is a *position*: 0 is the initial sequence number
 * (the SYN), 1 the first byte of data, and it never wraps. Segments are converted once, on arrival, so that the rest of
 * the engine compares with `<`. A stream offset of the socket seam is `position - 1`.
 */

/** a < b in the circular order of 32-bit numbers (include/net/tcp.h:before). */
export const before = (a: number, b: number): boolean => ((a - b) | 0) < 0;

/** a > b in the circular order of 32-bit numbers (include/net/tcp.h:after). */
export const after = (a: number, b: number): boolean => ((b - a) | 0) < 0;

/** The position's number on the wire. */
export const toWire = (isn: number, position: number): number => (isn + position) >>> 0;

/** The position nearest to `near` whose number on the wire is `wire`. */
export const fromWire = (isn: number, near: number, wire: number): number => near + ((wire - (isn + near)) | 0);
