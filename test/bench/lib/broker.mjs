import { availableParallelism } from 'node:os';
import { natsTuning, spawnNats } from '@skbus/bus';
import { pin, start } from './children.mjs';
import { ask, cpusFor, PLACEMENTS, program } from './measure.mjs';

/** About a header-only skb: Ethernet, IPv4 and TCP headers with timestamps, and the fields beside them. */
const HEADER_ONLY_BYTES = 150;
/** Payload of a bulk message, and how many are on their way at once. */
const BULK = [
  { kib: 64, window: 16 },
  { kib: 256, window: 8 },
];

/**
 * The same hops as the stack's, with nothing in them: nats-server and one forwarder per layer. A received packet goes
 * nic → ip → tcp → socket, its answer socket → tcp → ip → nic.
 */
export class BareBroker {
  #url = '';
  /** @type {number[]} */
  #pids = [];
  #allowed;

  /** @param {string} allowed CPUs */
  constructor(allowed) {
    this.#allowed = allowed;
  }

  /** @param {import('./children.mjs').Cleanup} cleanup */
  async open(cleanup) {
    const tuning = Object.entries(natsTuning(availableParallelism())).map(([name, value]) => `${name}=${value}`);
    // tuned as the stack's own broker is
    const server = await spawnNats(() =>
      start(
        ['env', ...tuning, 'nats-server', '-a', '127.0.0.1', '-p', '-1'],
        /client connections on 127\.0\.0\.1:(\d+)[^]*Server is ready/,
        cleanup,
      ),
    );
    this.#url = `nats://127.0.0.1:${server.match[1]}`;
    const layers = [
      ['rx.ip:rx.tcp', 'tx.ip:tx.nic', 'bulk.ip:bulk.tcp'],
      ['rx.tcp:rx.socket', 'tx.tcp:tx.ip', 'bulk.tcp:bulk.socket'],
      ['rx.socket:tx.tcp', 'bulk.socket:ack.nic'],
    ];
    this.#pids = [server.child.pid ?? 0];
    for (const routes of layers) {
      const f = await start([process.execPath, program('forwarder'), this.#url, ...routes], /ready/, cleanup);
      this.#pids.push(f.child.pid ?? 0);
    }
  }

  /** @param {import('./stats.mjs').Samples} samples @param {{ ms: number }} opts */
  async measure(samples, { ms }) {
    try {
      for (const placement of PLACEMENTS) {
        const cpus = cpusFor(placement, this.#allowed);
        await pin(this.#pids, cpus);
        const args = ['rtt', 'rx.ip', 'tx.nic', String(HEADER_ONLY_BYTES), String(ms)];
        const r = await ask([], cpus, ['source', this.#url, ...args]);
        samples.add(`broker.rtt.${placement}.p50`, r.p50Us);
        samples.add(`broker.rtt.${placement}.p99`, r.p99Us);
      }
    } finally {
      await pin(this.#pids, this.#allowed);
    }
    for (const { kib, window } of BULK) {
      const args = ['bulk', 'bulk.ip', 'ack.nic', String(kib * 1024), String(ms), String(window)];
      const r = await ask([], this.#allowed, ['source', this.#url, ...args]);
      samples.add(`broker.bulk.${kib}`, r.bitsPerSecond);
    }
  }
}
