import { LayerEnv, type Millis, NEVER, SeededRng, type SkCmd, type SkEvt } from '@skbus/skb';
import {
  type CallHandle,
  type FileNews,
  type ProcId,
  SocketLayer,
  type SysReply,
  type SysRequest,
} from '@skbus/socket';
import { ModelTcp, ModelUdp } from '@skbus/socket/testing';
import type { Gateway } from '../door/gateway.ts';

/** The engine on the model transports, in real time: what a door needs to be tested without a bus. */
export class LoopStack implements Gateway {
  readonly layer: SocketLayer;
  readonly tcp: ModelTcp;
  readonly udp: ModelUdp;
  private readonly cmds: { proto: 'tcp' | 'udp'; cmd: SkCmd }[] = [];
  private readonly evts: { proto: 'tcp' | 'udp'; evt: SkEvt }[] = [];
  private readonly ends: (() => void)[] = [];
  private depth = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor() {
    const env = new LayerEnv({ layer: 'socket', rng: new SeededRng(1), out: { pass: () => {} } });
    this.layer = new SocketLayer(env, {
      toTcp: (cmd) => this.cmds.push({ proto: 'tcp', cmd }),
      toUdp: (cmd) => this.cmds.push({ proto: 'udp', cmd }),
    });
    this.tcp = new ModelTcp(new SeededRng(2), (evt) => this.evts.push({ proto: 'tcp', evt }));
    this.udp = new ModelUdp((evt) => this.evts.push({ proto: 'udp', evt }));
  }

  run<T>(step: (now: Millis) => T): T {
    const now = performance.now();
    if (this.depth++ > 0) {
      const r = step(now);
      this.depth--;
      return r;
    }
    const result = step(now);
    this.layer.flush(now);
    while (this.cmds.length > 0 || this.evts.length > 0) {
      for (const { proto, cmd } of this.cmds.splice(0)) (proto === 'tcp' ? this.tcp : this.udp).onCmd(cmd, now);
      for (const { proto, evt } of this.evts.splice(0)) {
        if (proto === 'tcp') this.layer.onTcpEvent(evt, now);
        else this.layer.onUdpEvent(evt, now);
      }
      this.layer.flush(now);
    }
    for (const end of this.ends) end();
    this.depth--;
    this.arm(now);
    return result;
  }

  onBatchEnd(fn: () => void): void {
    this.ends.push(fn);
  }

  after(ms: Millis, fn: () => void): void {
    setTimeout(fn, ms).unref();
  }

  openProcess(): ProcId {
    return this.layer.openProcess();
  }

  closeProcess(p: ProcId, now: Millis): void {
    this.layer.closeProcess(p, now);
  }

  readonly leaving = false;

  openSession(p: ProcId, owner: number, tell: (news: readonly FileNews[]) => void): void {
    this.layer.openSession(p, owner, tell);
  }

  call(p: ProcId, req: SysRequest, now: Millis, done: (reply: SysReply) => void): CallHandle {
    return this.layer.call(p, req, now, done);
  }

  cancel(handle: CallHandle): void {
    this.layer.cancel(handle);
  }

  close(): void {
    clearTimeout(this.timer);
  }

  private arm(now: Millis): void {
    clearTimeout(this.timer);
    const at = Math.min(this.layer.pollTimeout(), this.tcp.pollTimeout());
    if (at === NEVER) return;
    this.timer = setTimeout(
      () => {
        this.run((t) => {
          this.layer.handleTimeout(t);
          this.tcp.handleTimeout(t);
        });
      },
      Math.max(1, at - now),
    );
    this.timer.unref();
  }
}
