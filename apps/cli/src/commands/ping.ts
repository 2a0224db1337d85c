import { lookup } from 'node:dns/promises';
import { errnoText, parseIpv4 } from '@skbus/skb';
import { Api } from '../api-client.ts';
import { CliError } from '../errors.ts';
import { intOption, secondsOption } from '../options.ts';
import { print, printJson } from '../output.ts';

interface Options {
  stack?: string;
  json?: boolean;
  count?: string;
  interval: string;
  size: string;
  timeout: string;
  ttl: string;
  quiet?: boolean;
}

interface Reply {
  errno: number;
  strerror: string;
  from: string;
  ttl: number;
  rttMs: number;
  type: number;
  code: number;
  bytes: number;
  seq: number;
}

const ETIMEDOUT = 110;
const EAGAIN = 11;
const ICMP_HLEN = 8;
const IP_HLEN = 20;
const UNREACH = [
  'Destination Net Unreachable',
  'Destination Host Unreachable',
  'Destination Protocol Unreachable',
  'Destination Port Unreachable',
  'Frag needed and DF set',
  'Source Route Failed',
  'Destination Net Unknown',
  'Destination Host Unknown',
  'Source Host Isolated',
  'Destination Net Prohibited',
  'Destination Host Prohibited',
  'Destination Net Unreachable for Type of Service',
  'Destination Host Unreachable for Type of Service',
  'Packet filtered',
  'Precedence Violation',
  'Precedence Cutoff',
];

/** Looks like iputils' ping; exits 1 without a single answer, 2 on other errors. */
export async function ping(host: string, o: Options): Promise<void> {
  const count = o.count === undefined ? Number.POSITIVE_INFINITY : intOption('-c', o.count, 1, 1e9);
  const intervalMs = secondsOption('-i', o.interval, 0.002) * 1000;
  const timeoutMs = Math.max(1, secondsOption('-W', o.timeout, 0) * 1000);
  const size = intOption('-s', o.size, 0, 65_507);
  const ttl = intOption('-t', o.ttl, 1, 255);
  const address = await resolve(host);
  const api = new Api(o.stack);
  const tally = new Tally(host, o.json === true, o.quiet === true || o.json === true);
  if (!o.json) print(`PING ${host} (${address}) ${size}(${size + ICMP_HLEN + IP_HLEN}) bytes of data.`);
  const pending = new Set<Promise<void>>();
  let stop = (): void => {};
  const stopped = new Promise<void>((r) => (stop = r));
  process.once('SIGINT', () => stop());
  const id = process.pid & 0xffff;
  let failure: CliError | undefined;
  const over = { yes: false };
  void stopped.then(() => (over.yes = true));
  for (let seq = 1; seq <= count && !over.yes; seq++) {
    tally.sent++;
    const body = { address, id, seq: seq & 0xffff, size, ttl, timeoutMs: Math.round(timeoutMs) };
    const one = api.send<Reply>('POST', '/ping', body, timeoutMs + 5_000).then(
      (r) => {
        failure ??= tally.answer(r, seq);
      },
      (e: unknown) => {
        failure ??= new CliError(`ping: ${e instanceof Error ? e.message : String(e)}`, 2);
      },
    );
    pending.add(one);
    void one.finally(() => pending.delete(one));
    if (seq < count) await Promise.race([pause(intervalMs), stopped, ...(failure ? [Promise.resolve()] : [])]);
    if (failure) break;
  }
  await Promise.race([Promise.all(pending), stopped, ...(failure ? [] : [tally.lingers(intervalMs)])]);
  tally.summary();
  if (failure) throw failure;
  process.exit(tally.received > 0 ? 0 : 1);
}

class Tally {
  sent = 0;
  received = 0;
  private errors = 0;
  private readonly rtts: number[] = [];
  private readonly rows: Reply[] = [];
  private readonly startedAt = performance.now();
  private readonly host: string;
  private readonly json: boolean;
  private readonly quiet: boolean;

  constructor(host: string, json: boolean, quiet: boolean) {
    this.host = host;
    this.json = json;
    this.quiet = quiet;
  }

  /** An error that ends it: the stack cannot send at all. */
  answer(r: Reply, seq: number): CliError | undefined {
    this.rows.push(r);
    if (r.errno === 0 && r.type === 0) {
      this.received++;
      this.rtts.push(r.rttMs);
      this.line(
        `${r.bytes + (r.bytes < ICMP_HLEN ? ICMP_HLEN : 0)} bytes from ${r.from}: icmp_seq=${seq} ttl=${r.ttl} time=${shortMs(r.rttMs)} ms`,
      );
      return undefined;
    }
    if (r.type === 3 || r.type === 11) {
      this.errors++;
      const what =
        r.type === 11
          ? r.code === 0
            ? 'Time to live exceeded'
            : 'Frag reassembly time exceeded'
          : (UNREACH[r.code] ?? `Destination Unreachable, Bad Code: ${r.code}`);
      this.line(`From ${r.from} icmp_seq=${seq} ${what}`);
      return undefined;
    }
    if (r.errno === ETIMEDOUT || r.errno === EAGAIN || r.errno === 0) return undefined;
    return new CliError(`ping: ${this.host}: ${r.strerror || errnoText(r.errno)}`, 2);
  }

  /**
   * How long to wait for the last answers: twice the longest round trip, at least an interval; for ever while there has
   * been none, each request has its own limit (iputils ping_common.c:schedule_exit).
   */
  async lingers(intervalMs: number): Promise<void> {
    while (this.rtts.length === 0) await pause(intervalMs, false);
    await pause(Math.max(intervalMs, 2 * Math.max(...this.rtts)), false);
  }

  summary(): void {
    const ms = Math.round(performance.now() - this.startedAt);
    const loss = this.sent === 0 ? 0 : ((this.sent - this.received) * 100) / this.sent;
    const { min, avg, max, mdev } = stats(this.rtts);
    if (this.json) {
      printJson({
        host: this.host,
        transmitted: this.sent,
        received: this.received,
        errors: this.errors,
        lossPercent: loss,
        timeMs: ms,
        rttMs: { min, avg, max, mdev },
        replies: this.rows,
      });
      return;
    }
    print(`\n--- ${this.host} ping statistics ---`);
    const errors = this.errors > 0 ? `+${this.errors} errors, ` : '';
    print(
      `${this.sent} packets transmitted, ${this.received} received, ${errors}${String(+loss.toPrecision(6))}% packet loss, time ${ms}ms`,
    );
    if (this.rtts.length > 0)
      print(`rtt min/avg/max/mdev = ${[min, avg, max, mdev].map((x) => x.toFixed(3)).join('/')} ms`);
    else print('');
  }

  private line(text: string): void {
    if (!this.quiet) print(text);
  }
}

async function resolve(host: string): Promise<string> {
  if (parseIpv4(host) !== undefined) return host;
  try {
    return (await lookup(host, { family: 4 })).address;
  } catch {
    throw new CliError(`ping: ${host}: Name or service not known`, 2);
  }
}

/** As iputils writes a round trip: three significant places. */
function shortMs(ms: number): string {
  if (ms >= 100) return ms.toFixed(0);
  if (ms >= 10) return ms.toFixed(1);
  return ms >= 1 ? ms.toFixed(2) : ms.toFixed(3);
}

function stats(rtts: readonly number[]): { min: number; avg: number; max: number; mdev: number } {
  if (rtts.length === 0) return { min: 0, avg: 0, max: 0, mdev: 0 };
  const avg = rtts.reduce((a, b) => a + b, 0) / rtts.length;
  const variance = rtts.reduce((a, b) => a + b * b, 0) / rtts.length - avg * avg;
  return { min: Math.min(...rtts), avg, max: Math.max(...rtts), mdev: Math.sqrt(Math.max(0, variance)) };
}

const pause = (ms: number, awake = true): Promise<void> =>
  new Promise((r) => {
    const timer = setTimeout(r, ms);
    if (!awake) timer.unref();
  });
