import { LAYERS, pb, subjects, type Layer, type skbus } from '@skbus/contracts';
import { MIB_FILES, MIB_GROUPS } from '@skbus/skb';
import { rssOf } from '../process-mark.ts';
import type { Stack } from '../stack.ts';

const STATS_WITHIN_MS = 1_000;

/** Where the skbs of one service went (DESIGN 1.4); `imbalance` is 0 when each is accounted for. */
export interface LedgerView {
  received: number;
  created: number;
  passed: number;
  consumed: number;
  queued: number;
  dropped: Record<string, number>;
  imbalance: number;
}

export type Stats = Partial<Record<Layer, skbus.v1.StatsReply>>;

/** A service that does not answer in time is absent. */
export async function statsOf(stack: Stack): Promise<Stats> {
  const all: Stats = {};
  if (!stack.bus) return all;
  await Promise.all(
    LAYERS.map(async (layer) => {
      try {
        const request = pb.StatsRequest.encode({}).finish();
        all[layer] = pb.StatsReply.decode(
          await stack.bus.request(subjects.ctl(stack.netns, layer, 'stats'), request, STATS_WITHIN_MS),
        ) as skbus.v1.StatsReply;
      } catch {
        // It is away; `services` says how.
      }
    }),
  );
  return all;
}

export function ledgerOf(s: skbus.v1.StatsReply): LedgerView {
  const { received, created, passed, consumed, queued, dropped } = s;
  return {
    received,
    created,
    passed,
    consumed,
    queued,
    dropped,
    imbalance: received + created - passed - consumed - queued - sum(dropped),
  };
}

export function statusOf(stack: Stack, stats: Stats): Record<string, unknown> {
  const { plan, run, config, version } = stack.opts;
  const services = stack.services().map((s) => {
    const st = stats[s.name as Layer];
    if (st) return { ...s, pid: s.pid ?? st.pid, rssBytes: st.rssBytes, ledger: ledgerOf(st) };
    return s.pid === undefined ? s : { ...s, rssBytes: rssOf(s.pid) };
  });
  return {
    stack: stack.netns,
    state: stack.state,
    version,
    pid: process.pid,
    uptimeMs: Date.now() - stack.startedAt,
    api: stack.opts.apiUrl(),
    nats: plan.natsUrl,
    backend: plan.backend,
    spawn: config.spawn,
    runDir: run.dir,
    sock: plan.sock,
    address: plan.addressing?.address ?? '',
    peer: plan.addressing?.peer ?? '',
    peerNetns: plan.peerNetns,
    kernelIfname: plan.backend === 'tap' ? plan.kernelIfname : '',
    socksPort: plan.socksPort,
    httpProxyPort: plan.httpProxyPort,
    cmdline: config.cmdline.text,
    services,
    skbs: conservation(stats),
    bus: busTotals(stats),
  };
}

/** The ledgers of all services, added up. */
function conservation(stats: Stats): LedgerView {
  const total: LedgerView = { received: 0, created: 0, passed: 0, consumed: 0, queued: 0, dropped: {}, imbalance: 0 };
  for (const s of Object.values(stats)) {
    const l = ledgerOf(s);
    for (const k of ['received', 'created', 'passed', 'consumed', 'queued', 'imbalance'] as const) total[k] += l[k];
    for (const [reason, n] of Object.entries(l.dropped)) total.dropped[reason] = (total.dropped[reason] ?? 0) + n;
  }
  return total;
}

/** Between the services: what was published, received and lost on each subject since the services started. */
function busTotals(stats: Stats): Record<string, { sent: number; got: number; lost: number }> {
  const bus: Record<string, { sent: number; got: number; lost: number }> = {};
  const row = (subject: string): { sent: number; got: number; lost: number } =>
    (bus[subject] ??= { sent: 0, got: 0, lost: 0 });
  for (const s of Object.values(stats)) {
    for (const [subject, n] of Object.entries(s.sent)) row(subject).sent += n;
    for (const [subject, n] of Object.entries(s.got)) row(subject).got += n;
    for (const [subject, n] of Object.entries(s.busLost)) row(subject).lost += n;
  }
  return bus;
}

/** The kernel's counters over all services, every name in the kernel's order, 0 where nobody counted. */
export function mibOf(stats: Stats): Record<string, number> {
  const sums = new Map<string, number>();
  for (const s of Object.values(stats)) for (const [k, v] of Object.entries(s.mib)) sums.set(k, (sums.get(k) ?? 0) + v);
  const mib: Record<string, number> = {};
  for (const file of ['snmp', 'netstat'] as const) {
    for (const group of MIB_FILES[file])
      for (const name of MIB_GROUPS[group]) mib[`${group}${name}`] = sums.get(`${group}${name}`) ?? 0;
    if (file === 'netstat') continue;
    // One row per ICMP type that was seen.
    for (const k of [...sums.keys()].filter((name) => name.startsWith('IcmpMsg')).toSorted()) mib[k] = sums.get(k)!;
  }
  return mib;
}

const sum = (r: Record<string, number>): number => Object.values(r).reduce((a, b) => a + b, 0);
