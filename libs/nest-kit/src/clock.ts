import { performance } from 'node:perf_hooks';

// performance.now() starts at 0 in each process; CLOCK_MONOTONIC is the same in all of them, and does not step back when
// a service restarts (PAWS depends on that). One offset joins the resolution of the one with the origin of the other.
const origin = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Milliseconds of CLOCK_MONOTONIC, with sub-microsecond resolution; the same clock in every service of a host. */
export const monotonicMs = (): number => origin + performance.now();
