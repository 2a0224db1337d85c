/** Milliseconds on the layer's monotonic clock, as a double (1 µs resolution where the shell has it). */
export type Millis = number;

export const SECOND: Millis = 1000;
export const MINUTE: Millis = 60_000;

/** What a machine answers from `pollTimeout()` when nothing is armed. */
export const NEVER: Millis = Number.POSITIVE_INFINITY;
