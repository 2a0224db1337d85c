import { LAYERS } from '@skbus/contracts';
import { AF_INET, SOCK_STREAM, type Millis } from '@skbus/skb';
import type { Host } from '../host.ts';
import { Net } from '../net.ts';
import { Program, sockAddr, type ReadProgress } from '../program.ts';
import type { Flow, Plan } from './plan.ts';
import { SegmentWatch } from './segment-watch.ts';

export interface Outcome {
  /** What is wrong, the first things first; empty: all is well. */
  problems: string[];
  /** Virtual time until the last stream was complete. */
  endedMs: Millis;
  events: number;
  /** How often fault rules acted. */
  decisions: number;
  /** The rules that did. */
  acted: string[];
}

/** After the healing: the longest pause of a retransmission timer that eight seconds of trouble can lead to, and some. */
const FINISH_WITHIN_MS = 240_000;
const EVENTS_MAX = 3_000_000;
/** skbs that the queues of one layer may hold. */
const QUEUED_MAX = 10_000;
const LOOK_EVERY_MS = 50;
const RETRY_MS = 200;

interface Running {
  flow: Flow;
  there: ReadProgress | undefined;
  back: ReadProgress | undefined;
  /** Halves of each end that are over: reading, writing. */
  ends: { client: number; server: number };
  /** Both ends have read and written all, and closed. */
  done: boolean;
}

/**
 * Plays a scenario: first with its faults, then, when they are over, everything has to come to its end within a bound. The
 * checks look from outside: at what programs read, at what engines hand on, at the ledgers.
 */
export function runPlan(plan: Plan): Outcome {
  const net = new Net(plan.seed);
  const watch = new SegmentWatch();
  const hosts = makeHosts(net, plan, watch);
  const programs = hosts.map((h) => new Program(net, h));
  const flows = plan.flows.map((flow): Running => ({
    flow,
    there: undefined,
    back: undefined,
    ends: { client: 0, server: 0 },
    done: false,
  }));
  const problems: string[] = [];
  const fail = (what: string): void => void (problems.length < 20 && problems.push(what));
  let acted = (): string[] => [];
  try {
    acted = addFaults(net, hosts, plan);
    flows.forEach((f, i) => play(net, programs, f, 5_000 + i, fail));
    const look = (): void => {
      for (const h of hosts) lookAt(h, fail);
      if (!flows.every((f) => f.done) && problems.length === 0) net.after(LOOK_EVERY_MS, look);
    };
    look();
    net.runUntil(() => (flows.every((f) => f.done) && net.now >= plan.healMs) || problems.length > 0, {
      stepsMax: EVENTS_MAX,
      withinMs: plan.healMs + FINISH_WITHIN_MS,
    });
  } catch (e) {
    fail(e instanceof Error ? e.message : String(e));
    for (const [i, f] of flows.entries()) if (!f.done) fail(`flow ${i}: ${progress(f)}`);
  }
  const endedMs = net.now;
  if (problems.length === 0) atTheEnd(net, hosts, fail);
  problems.push(...watch.problems.slice(0, 20));
  const decisions = hosts.reduce((n, h) => n + h.faultLog().length, 0);
  return { problems, endedMs, events: net.clock.steps, decisions, acted: acted() };
}

function makeHosts(net: Net, plan: Plan, watch: SegmentWatch): Host[] {
  const link = net.link(plan.link);
  return Array.from({ length: plan.hosts }, (_, i) => {
    const h = net.host(`h${i}`, {
      busMs: plan.busMs,
      offload: plan.offload,
      codec: plan.seed % 8 === 0,
      tcp: { tcpCongestionControl: plan.congestion },
      // Three lost questions in a row would be no error of the stack. Nor would a handshake that is given up after 63 s, or a closed
      // connection after 100 s, while a poisoned neighbour is believed in for 45 s and used only now and then.
      neigh: { mcastSolicit: 20, baseReachableTimeMs: 5_000 },
    });
    h.attach(link, `10.77.0.${i + 1}/24`, { mtu: plan.mtu });
    h.onSegment = (skb) => watch.onSegment(skb);
    return h;
  });
}

/** Returns who can say which rules have acted. */
function addFaults(net: Net, hosts: readonly Host[], plan: Plan): () => string[] {
  const rules: { text: string; host: Host; id: string }[] = [];
  const link = net.links[0]!;
  const bad: Set<object> = new Set();
  const usual = { loss: 0, duplicate: 0, reorder: 0, latencyMs: 1, bitsPerSecond: 0, ...plan.link };
  for (const f of plan.faults) {
    if (f.kind === 'rule') {
      const host = hosts[f.host]!;
      rules.push({ text: f.text, host, id: host.fault(f.text) });
      continue;
    }
    net.after(f.atMs, () => {
      bad.add(f);
      link.set(f.model);
    });
    net.after(f.atMs + f.forMs, () => {
      bad.delete(f);
      link.set(Object.assign({}, usual, ...[...bad].map((x) => (x as typeof f).model)) as typeof usual);
    });
  }
  net.after(plan.healMs, () => {
    link.set(usual);
    for (const h of hosts) h.heal();
  });
  return () => rules.filter(({ host, id }) => host.faultLog().some((d) => d.rule === id)).map((r) => r.text);
}

/** Connects until it works, sends and reads both ways, closes when everything has been read. */
function play(net: Net, programs: readonly Program[], f: Running, port: number, fail: (what: string) => void): void {
  const { flow } = f;
  const [client, server] = [programs[flow.from]!, programs[flow.to]!];
  const reading = { chunk: Math.max(flow.chunk, 256), ...(flow.pauseMs > 0 ? { pauseMs: flow.pauseMs } : {}) };
  const { ends } = f;
  /** An end that has read and written everything is closed. */
  const half = (fd: number, on: Program, end: 'client' | 'server'): void => {
    if (++ends[end] < 2) return;
    on.close(fd);
    f.done = ends.client === 2 && ends.server === 2;
  };
  const check = (p: ReadProgress, total: number, which: string): void => {
    if (p.errno !== 0 || p.wrongAt >= 0 || p.got !== total)
      fail(`${which}: got ${p.got} of ${total}, errno ${p.errno}, wrong at ${p.wrongAt}`);
  };
  const serve = (fd: number): void => {
    const onEnd = (p: ReadProgress): void => {
      check(p, flow.bytesThere, 'there');
      half(fd, server, 'server');
    };
    f.there = server.readAll(fd, 1, { ...reading, onEnd });
    server.writeAll(fd, flow.bytesBack, 2, flow.chunk, () => half(fd, server, 'server'));
  };
  server.serve(port, serve);
  const connect = (): void => {
    client.call({ call: 'socket', domain: AF_INET, type: SOCK_STREAM, protocol: 0 }, ({ result: fd }) => {
      client.call({ call: 'connect', fd, addr: sockAddr(server.host.addr, port) }, (r) => {
        if (r.errno !== 0) {
          // The way may be closed for longer than TCP or ARP try: a program tries again.
          client.close(fd);
          net.after(RETRY_MS, connect);
          return;
        }
        const onEnd = (p: ReadProgress): void => {
          check(p, flow.bytesBack, 'back');
          half(fd, client, 'client');
        };
        f.back = client.readAll(fd, 2, { ...reading, onEnd });
        client.writeAll(fd, flow.bytesThere, 1, flow.chunk, () => half(fd, client, 'client'));
      });
    });
  };
  net.after(flow.startMs, connect);
}

/** What has to hold at any moment. */
function lookAt(h: Host, fail: (what: string) => void): void {
  for (const layer of LAYERS) {
    const { env } = h.shells[layer];
    if (env.ledger.imbalance !== 0) fail(`${h.name} ${layer}: imbalance ${env.ledger.imbalance}`);
    if (env.ledger.queued > QUEUED_MAX) fail(`${h.name} ${layer}: ${env.ledger.queued} skbs queued`);
  }
  for (const s of h.tcp.sockets()) {
    if (s.unacked < 0) fail(`${h.name}: ${s.unacked} segments unacknowledged`);
  }
}

/** Nothing is left over: no connection, no skb, no timer in the past. */
function atTheEnd(net: Net, hosts: readonly Host[], fail: (what: string) => void): void {
  net.runFor(200_000);
  for (const p of net.check()) fail(p);
  for (const h of hosts) {
    const left = h.tcp.sockets().filter((s) => s.state !== LISTEN);
    if (left.length > 0)
      fail(`${h.name}: ${left.length} connections are left, in states ${left.map((s) => s.state).join()}`);
    for (const layer of LAYERS) {
      const { queued } = h.shells[layer].env.ledger;
      if (queued > 0) fail(`${h.name} ${layer}: ${queued} skbs are left in queues`);
    }
  }
}

const LISTEN = 10;

const progress = (f: Running): string =>
  `${f.there?.got ?? '-'} of ${f.flow.bytesThere} there, ${f.back?.got ?? '-'} of ${f.flow.bytesBack} back`;
