import { readFileSync, writeFileSync } from 'node:fs';

/**
 * nats-server's environment on a machine with so many CPUs.
 *
 * Go's collector runs at every doubling of a heap that is a few megabytes of passing messages; at every tenfold growth
 * instead, four hops of 64 KiB carry 1.1 Gbit/s where they carried 0.65. The limit keeps a burst from staying. And a message
 * that comes to a broker at rest wakes a thread of Go per CPU that looks for more to do, on CPUs that the layers need.
 */
export const natsTuning = (cpus: number): Record<string, string> => ({
  GOGC: '1000',
  GOMEMLIMIT: '512MiB',
  GOMAXPROCS: String(Math.max(1, Math.floor(cpus / 2))),
});

/** Of the thread that reads or writes it (prctl(2), PR_SET_TIMERSLACK); what it starts inherits it. */
const SLACK_FILE = '/proc/self/timerslack_ns';
const NATS_SLACK_NS = 1_000_000;

/**
 * Starts nats-server: `spawn` does that before it returns.
 *
 * As long as there is something to do, a thread of Go (runtime.sysmon) wakes every 20 us and looks whether the others still
 * move. With single messages on their way that is a wake-up per message, on a CPU that a layer needs, and a processor taken from
 * the thread that is just handing a message to the kernel. It need not be that exact: with a millisecond of slack a round trip
 * through the stack costs the broker half of the CPU time.
 */
export function spawnNats<T>(spawn: () => T): T {
  const before = setTimerSlack(String(NATS_SLACK_NS));
  try {
    return spawn();
  } finally {
    if (before !== undefined) setTimerSlack(before);
  }
}

/** Returns what it was, or `undefined` where there is no such thing: it only makes things faster. */
function setTimerSlack(ns: string): string | undefined {
  try {
    const before = readFileSync(SLACK_FILE, 'latin1');
    writeFileSync(SLACK_FILE, ns);
    return before;
  } catch {
    return undefined;
  }
}
