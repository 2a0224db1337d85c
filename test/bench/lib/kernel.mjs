import { run, start } from './children.mjs';
import { measureConnections, program } from './measure.mjs';

const PEER = '10.78.0.2';

/** The kernel's own path: two namespaces and a veth pair between them, made here and gone with the cleanup. */
export class KernelPath {
  #a = `skbench-a-${process.pid}`;
  #b = `skbench-b-${process.pid}`;
  /** @type {number[]} */
  #pids = [];
  #allowed;

  /** @param {string} allowed CPUs */
  constructor(allowed) {
    this.#allowed = allowed;
  }

  /** @param {import('./children.mjs').Cleanup} cleanup */
  async open(cleanup) {
    for (const ns of [this.#a, this.#b]) {
      await run(['ip', 'netns', 'add', ns]);
      // The namespace takes its end of the veth pair with it.
      cleanup.add(() => run(['ip', 'netns', 'del', ns]));
    }
    await run(['ip', '-n', this.#a, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v0', 'netns', this.#b]);
    for (const [ns, addr] of [
      [this.#a, '10.78.0.1/24'],
      [this.#b, `${PEER}/24`],
    ]) {
      await run(['ip', '-n', ns, 'addr', 'add', addr, 'dev', 'v0']);
      await run(['ip', '-n', ns, 'link', 'set', 'lo', 'up']);
      await run(['ip', '-n', ns, 'link', 'set', 'v0', 'up']);
    }
    const inB = ['ip', 'netns', 'exec', this.#b];
    const server = await start([...inB, process.execPath, program('server')], /ready/, cleanup);
    await start([...inB, 'iperf3', '-s', '--forceflush'], /listening/, cleanup);
    this.#pids = [server.child.pid ?? 0];
  }

  /** @param {import('./stats.mjs').Samples} samples @param {{ ms: number }} opts */
  async measure(samples, { ms }) {
    for (const gso of ['off', 'on']) {
      for (const ns of [this.#a, this.#b]) {
        await run(['ip', 'netns', 'exec', ns, 'ethtool', '-K', 'v0', 'tso', gso, 'gso', gso]);
      }
      const name = gso === 'on' ? 'kernel.gso' : 'kernel.nogso';
      samples.add(`${name}.up`, await this.#bulk([], ms));
      samples.add(`${name}.down`, await this.#bulk(['-R'], ms));
    }
    const inFront = ['ip', 'netns', 'exec', this.#a];
    await measureConnections(
      { name: 'kernel', host: PEER, inFront, pids: this.#pids, allowed: this.#allowed },
      samples,
      { ms },
    );
  }

  /** @param {string[]} extra @param {number} ms @returns {Promise<number>} bits per second at the receiver */
  async #bulk(extra, ms) {
    const seconds = String(Math.max(1, Math.round(ms / 1e3)));
    const out = await run(['ip', 'netns', 'exec', this.#a, 'iperf3', '-c', PEER, '-J', '-t', seconds, ...extra]);
    return JSON.parse(out).end.sum_received.bits_per_second;
  }
}
