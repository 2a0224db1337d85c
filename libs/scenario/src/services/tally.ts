import type { StackApi, StatusView } from './api.ts';

/** Something that counts up, and begins anew when its service does. */
class Growth {
  readonly total: Record<string, number> = {};
  private last: Readonly<Record<string, number>> | undefined = undefined;

  see(now: Readonly<Record<string, number>>): void {
    for (const [name, n] of Object.entries(this.last === undefined ? {} : now)) {
      const before = this.last![name] ?? 0;
      const grown = n >= before ? n - before : n;
      if (grown > 0) this.total[name] = (this.total[name] ?? 0) + grown;
    }
    this.last = { ...now };
  }
}

/** What the services of a stack have counted since the first look. */
export class StackTally {
  readonly counters = new Growth();
  readonly drops = new Growth();
  readonly restarts = new Growth();
  private readonly api: StackApi;
  private timer: NodeJS.Timeout | undefined = undefined;
  private looking: Promise<void> | undefined = undefined;

  constructor(api: StackApi) {
    this.api = api;
  }

  /** Again and again: what a service has counted goes with it. */
  watch(everyMs: number): void {
    this.timer = setInterval(() => void this.look().catch(() => {}), everyMs);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  look(): Promise<void> {
    this.looking ??= this.lookOnce().finally(() => (this.looking = undefined));
    return this.looking;
  }

  private async lookOnce(): Promise<void> {
    const { services } = await this.api.get<StatusView>('/status');
    const layers = services.filter((s) => s.restarts !== undefined && s.name !== 'demo');
    this.restarts.see(Object.fromEntries(layers.map((s) => [s.name, s.restarts!])));
    // One that does not answer now may do so later, with all that it had counted.
    if (layers.some((s) => LAYERS.has(s.name) && s.ledger === undefined)) return;
    const drops: Record<string, number> = {};
    for (const s of layers)
      for (const [reason, n] of Object.entries(s.ledger?.dropped ?? {})) drops[`${s.name} ${reason}`] = n;
    this.drops.see(drops);
    this.counters.see(await this.api.get<Record<string, number>>('/nstat'));
  }

  /** By reason, all layers together. */
  dropsByReason(): Record<string, number> {
    const sum: Record<string, number> = {};
    for (const [key, n] of Object.entries(this.drops.total)) {
      const reason = key.slice(key.indexOf(' ') + 1);
      sum[reason] = (sum[reason] ?? 0) + n;
    }
    return sum;
  }
}

const LAYERS: ReadonlySet<string> = new Set(['nic', 'neigh', 'ip', 'tcp', 'udp', 'socket']);

/** The lines of /proc/net/snmp and /proc/net/netstat, by nstat's names. */
export function parseProcNet(text: string): Record<string, number> {
  const all: Record<string, number> = {};
  const lines = text.split('\n').filter((l) => l.includes(':'));
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const [group, ...names] = lines[i]!.split(/[\s:]+/);
    const values = lines[i + 1]!.split(/[\s:]+/).slice(1);
    names.forEach((n, k) => (all[group! + n] = Number(values[k])));
  }
  return all;
}

/** What grew between two looks. */
export function growth(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  const g = new Growth();
  g.see(before);
  g.see(after);
  return g.total;
}
