import { decodeCmds, decodeEvts, encodeCmds, encodeEvts, PublisherWatch } from '@skbus/contracts';
import type { Millis, SkCmd, SkEvt } from '@skbus/skb';
import type { LayerShell } from './layer-shell.ts';

/** What the two ends do with what arrives. */
export interface SeamEnds {
  command(cmd: SkCmd, now: Millis): void;
  event(evt: SkEvt, now: Millis): void;
  /** Another socket layer speaks than before. */
  gatewayRestarted(now: Millis): void;
  /** Another transport speaks than before. */
  transportRestarted(now: Millis): void;
}

/** The seam between the socket layer and one transport: commands down, events up, one list per batch. */
export class SeamWire {
  private readonly socket: LayerShell;
  private readonly transport: LayerShell;
  private readonly ends: SeamEnds;
  private readonly codec: boolean;
  private cmds: SkCmd[] = [];
  private evts: SkEvt[] = [];
  private gateway = new PublisherWatch();
  private publisher = new PublisherWatch();

  constructor(shells: { socket: LayerShell; transport: LayerShell }, ends: SeamEnds, codec: boolean) {
    this.socket = shells.socket;
    this.transport = shells.transport;
    this.ends = ends;
    this.codec = codec;
    this.socket.onBatchEnd(() => this.sendCmds());
    this.transport.onBatchEnd(() => this.sendEvts());
  }

  readonly collectCmd = (cmd: SkCmd): void =>
    this.socket.message('tx', 'sk_cmd', cmd.sk, () => void this.cmds.push(cmd));

  readonly collectEvt = (evt: SkEvt): void =>
    this.transport.message('rx', 'sk_evt', evt.sk, () => void this.evts.push(evt));

  /** One end was started (again): it has heard of nobody, and an empty list tells the other end by its number. */
  hello(from: 'socket' | 'transport'): void {
    if (from === 'socket') {
      this.publisher = new PublisherWatch();
      this.sendCmds(true);
    } else {
      this.gateway = new PublisherWatch();
      this.sendEvts(true);
    }
  }

  private sendCmds(empty = false): void {
    const { cmds } = this;
    if (cmds.length === 0 && !empty) return;
    this.cmds = [];
    const publisher = this.socket.epoch;
    const list = this.codec ? survives(decodeCmds(encodeCmds(publisher, cmds))).cmds : cmds;
    this.transport.post((now) => {
      const from = this.gateway.hear(publisher, now);
      if (from === 'retired') return;
      if (from === 'new') this.ends.gatewayRestarted(now);
      for (const c of list) this.transport.message('tx', 'sk_cmd', c.sk, (at) => this.ends.command(c, at));
    });
  }

  private sendEvts(empty = false): void {
    const { evts } = this;
    if (evts.length === 0 && !empty) return;
    this.evts = [];
    const publisher = this.transport.epoch;
    const meant = this.gateway.publisher;
    const { evts: list, to } = this.codec
      ? survives(decodeEvts(encodeEvts(publisher, evts, meant)))
      : { evts, to: meant };
    this.socket.post((now) => {
      const from = this.publisher.hear(publisher, now);
      if (from === 'retired') return;
      if (from === 'new') this.ends.transportRestarted(now);
      if (to !== 0 && to !== this.socket.epoch) return;
      for (const e of list) this.socket.message('rx', 'sk_evt', e.sk, (at) => this.ends.event(e, at));
    });
  }
}

function survives<T>(decoded: T | undefined): T {
  if (decoded === undefined)
    throw new Error('a message between socket layer and transport does not survive the contract');
  return decoded;
}
