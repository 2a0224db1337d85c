import { LayerEnv, type Millis, NEVER, SeededRng, type SkCmd, type SkEvt, below } from '@skbus/skb';
import { SocketLayer, type SocketLayerOptions } from '../layer.ts';
import type { ProcId, SysReply, SysRequest } from '../types.ts';
import { ModelTcp } from './model-tcp.ts';

export interface LinkFaults {
  loss: number;
  duplicate: number;
  /** Each message takes up to this long: more than 0 reorders. */
  jitterMs: Millis;
}

interface Due {
  at: Millis;
  order: number;
  run: (now: Millis) => void;
}

/** A socket layer and the model transport with a link between them, on one virtual clock. */
export class Bench {
  now: Millis = 0;
  readonly layer: SocketLayer;
  readonly tcp: ModelTcp;
  readonly udpCmds: SkCmd[] = [];
  readonly tcpCmds: SkCmd[] = [];
  readonly trace: string[] = [];
  readonly proc: ProcId;
  faults: LinkFaults = { loss: 0, duplicate: 0, jitterMs: 0 };
  /** Messages each way, before faults. */
  messages = 0;
  private readonly rng: SeededRng;
  private due: Due[] = [];
  private order = 0;

  constructor(seed = 1, opts: Partial<SocketLayerOptions> = {}) {
    this.rng = new SeededRng(seed);
    const env = new LayerEnv({ layer: 'socket', rng: new SeededRng(seed + 1), out: { pass: () => {} } });
    env.setTraceSink((e) => this.trace.push(e.point));
    this.layer = new SocketLayer(env, {
      toTcp: (cmd) => {
        this.tcpCmds.push(cmd);
        const copy = clone(cmd);
        this.carry((now) => this.tcp.onCmd(copy, now));
      },
      toUdp: (cmd) => this.udpCmds.push(cmd),
      ...opts,
    });
    this.tcp = new ModelTcp(this.rng, (evt: SkEvt) => {
      const copy = clone(evt);
      this.carry((now) => this.layer.onTcpEvent(copy, now));
    });
    this.proc = this.layer.openProcess();
  }

  /** A call that must be answered within `withinMs` of virtual time. */
  sys(req: SysRequest, withinMs: Millis = 120_000): SysReply {
    const box = this.start(req);
    const end = this.now + withinMs;
    while (box.reply === undefined && this.step(end));
    if (box.reply === undefined) throw new Error(`${req.call} was not answered within ${withinMs} ms`);
    return box.reply;
  }

  /** A call that may sleep. */
  start(req: SysRequest, proc = this.proc): { reply: SysReply | undefined; cancel: () => void } {
    const box: { reply: SysReply | undefined; cancel: () => void } = { reply: undefined, cancel: () => {} };
    const handle = this.layer.call(proc, req, this.now, (r) => {
      box.reply = r;
    });
    box.cancel = () => this.layer.cancel(handle);
    this.layer.flush(this.now);
    return box;
  }

  /** Runs until nothing is due, or for `ms`. */
  run(ms: Millis = 0): void {
    const end = this.now + ms;
    while (this.step(end));
    this.now = end;
  }

  /** The next thing due before `end`; false: there is none. */
  step(end: Millis): boolean {
    const timer = Math.min(this.layer.pollTimeout(), this.tcp.pollTimeout());
    const next = this.due[0];
    const at = Math.min(timer, next?.at ?? NEVER);
    if (at > end) return false;
    this.now = Math.max(this.now, at);
    if (next !== undefined && next.at <= timer) {
      this.due.shift();
      next.run(this.now);
    } else {
      this.layer.handleTimeout(this.now);
      this.tcp.handleTimeout(this.now);
    }
    this.layer.flush(this.now);
    return true;
  }

  private carry(run: (now: Millis) => void): void {
    this.messages++;
    const { loss, duplicate, jitterMs } = this.faults;
    if (this.chance(loss)) return;
    const copies = this.chance(duplicate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const at = this.now + (jitterMs > 0 ? (below(this.rng, 1000) / 1000) * jitterMs : 0);
      const entry = { at, order: this.order++, run };
      let j = this.due.length;
      while (j > 0 && this.due[j - 1]!.at > at) j--;
      this.due.splice(j, 0, entry);
    }
  }

  private chance(p: number): boolean {
    return p > 0 && this.rng.u32() / 0x1_0000_0000 < p;
  }
}

/** As the bus would: what the sender does to its objects later does not show. */
function clone<T>(m: T): T {
  const copy = { ...m } as Record<string, unknown>;
  for (const k of Object.keys(copy)) {
    const v = copy[k];
    if (v !== null && typeof v === 'object' && !(v instanceof Uint8Array)) copy[k] = { ...v };
  }
  return copy as T;
}
