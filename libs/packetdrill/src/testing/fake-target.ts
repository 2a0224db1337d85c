import type { Micros, Sniffed, SysCalls, SysResult, SysTicket, Target, TargetOptions } from '../target.ts';
import { decodePacket, encodePacket } from '../wire/codec.ts';
import type { LivePacket, LiveTcp } from '../wire/live.ts';

export type Tcp = LivePacket & LiveTcp;
/** What the stack sends when a segment comes in, and how much later. */
export type Reply = (seen: Tcp) => { afterUs?: Micros; packet: Partial<LiveTcp> }[];

/** A stack that does what a test says, in virtual time. */
export class FakeTarget implements Target {
  readonly name = 'engine';
  readonly virtualTime = true;
  readonly canPinIss = true;
  readonly opened: TargetOptions[] = [];
  readonly sysctls: string[] = [];
  readonly seen: Tcp[] = [];
  readonly sys: SysCalls;
  private readonly reply: Reply;
  private queue: Sniffed[] = [];
  private us = 0;

  /** `results`: what calls give, by their names; one that is absent never comes back. */
  constructor(reply: Reply, results: Partial<Record<keyof SysCalls, Partial<SysResult> & { afterUs?: Micros }>> = {}) {
    this.reply = reply;
    const all = { socket: { ret: 3 }, accept: { ret: 4 }, bind: {}, listen: {}, close: {}, setsockopt: {}, ...results };
    const call = (name: string) => (): SysTicket => this.ticket((all as Record<string, object>)[name]);
    this.sys = new Proxy({} as SysCalls, { get: (_, name: string) => call(name) });
  }

  open(opts: TargetOptions): Promise<void> {
    this.us = 0;
    this.queue = [];
    this.opened.push(opts);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  now(): Micros {
    return this.us;
  }

  sleepUntil(at: Micros): Promise<void> {
    this.us = Math.max(this.us, at);
    return Promise.resolve();
  }

  inject(bytes: Uint8Array): void {
    const p = decodePacket(bytes);
    if (typeof p === 'string' || p.proto !== 'tcp') return;
    this.seen.push(p);
    const none = { ack: 0, window: 1000, urgent: 0, options: [], payload: new Uint8Array(0) };
    for (const { afterUs, packet } of this.reply(p)) {
      const out: LivePacket = {
        ip: { ...p.ip, saddr: p.ip.daddr, daddr: p.ip.saddr },
        ...{ proto: 'tcp', sport: p.dport, dport: p.sport, seq: 0, flags: 0x10, ...none },
        ...packet,
      };
      this.queue.push({ atUs: this.us + (afterUs ?? 0), bytes: encodePacket(out) });
    }
  }

  nextPacket(deadline: Micros): Promise<Sniffed | undefined> {
    const first = this.queue[0];
    if (first === undefined || first.atUs > deadline) {
      this.us = Math.max(this.us, deadline);
      return Promise.resolve(undefined);
    }
    this.queue.shift();
    this.us = Math.max(this.us, first.atUs);
    return Promise.resolve(first);
  }

  wait(_ticket: SysTicket, deadline: Micros): Promise<void> {
    return this.sleepUntil(deadline);
  }

  sysctl(name: string, value: string): Promise<void> {
    this.sysctls.push(`${name}=${value}`);
    return Promise.resolve();
  }

  counters(): Promise<ReadonlyMap<string, number>> {
    return Promise.resolve(new Map());
  }

  /** A result that is there from its time on. */
  private ticket(given: (Partial<SysResult> & { afterUs?: Micros }) | undefined): SysTicket {
    const doneUs = this.us + (given?.afterUs ?? 0);
    const value: SysResult = { ret: 0, errno: 0, ...given };
    const now = (): Micros => this.us;
    return {
      get result() {
        return given !== undefined && now() >= doneUs ? value : undefined;
      },
      doneUs,
      settled: Promise.resolve(value),
    };
  }
}
