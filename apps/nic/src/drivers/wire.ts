import type { Features, RxMeta } from '@skbus/dev';
import {
  CHECKSUM_PARTIAL,
  isMulticastMac,
  SKB_GSO_TCPV4,
  type MacAddr,
  type SkBuff,
  type Tracepoint,
} from '@skbus/skb';
import { ETHERNET_HLEN, getMac } from '@skbus/wire';
import type { NicConfig, NicDriver, RxSink } from './driver.ts';

/** A frame on a cable of ours: both ends know checksum and GSO metadata, so a big segment crosses it whole. */
export interface WireFrame {
  data: Uint8Array;
  gsoSize: number;
  /** SKB_GSO_* */
  gsoType: number;
  /** CHECKSUM_PARTIAL: positions in the frame; csumStart 0: the sum is filled in. */
  csumStart: number;
  csumOffset: number;
}

/** The cable, as the shell plugs it in: a subject that every port publishes to and listens on. */
export interface WireLink {
  /** One message. Never called with an empty list. */
  send(frames: WireFrame[]): void;
  /** Frames of the other ports, a list per message. Returns how to unsubscribe. */
  onFrames(take: (frames: readonly WireFrame[]) => void): Promise<() => Promise<void>>;
}

/** Frames collected for one message, at most. */
const TX_BATCH_MAX = 64;
const TX_BATCH_BYTES = 256 * 1024;

const PLAIN: RxMeta = { csum: 'none' };

/** Several stacks on one Ethernet segment over the bus: a hub, where a port keeps what is addressed to it. */
export class WireDriver implements NicDriver {
  readonly ndoStartXmit: Tracepoint = 'tun_net_xmit';
  readonly features: Features;
  private readonly mac: MacAddr;
  private readonly link: WireLink;
  private unsubscribe: (() => Promise<void>) | undefined = undefined;
  private batch: WireFrame[] = [];
  private batchBytes = 0;
  private readonly stats = { rx_filtered: 0, tx_batches: 0 };

  constructor(config: NicConfig, link: WireLink) {
    this.mac = config.mac;
    this.link = link;
    this.features = { csum: config.offload, tso: config.offload };
  }

  async start(sink: RxSink): Promise<void> {
    this.unsubscribe = await this.link.onFrames((frames) => this.onFrames(sink, frames));
  }

  xmit(skb: SkBuff): boolean {
    const frame: WireFrame = { data: skb.bytes(), gsoSize: 0, gsoType: 0, csumStart: 0, csumOffset: 0 };
    if (skb.ipSummed === CHECKSUM_PARTIAL) {
      frame.csumStart = skb.csumStart - skb.data;
      frame.csumOffset = skb.csumOffset;
    }
    if (this.features.tso && skb.gsoSize > 0) {
      frame.gsoSize = skb.gsoSize;
      frame.gsoType = skb.gsoType;
    }
    this.batch.push(frame);
    this.batchBytes += frame.data.length;
    if (this.batch.length >= TX_BATCH_MAX || this.batchBytes >= TX_BATCH_BYTES) this.flush();
    return true;
  }

  /** A batch is on the cable by the end of the stack's own. */
  readonly inRing = 0;

  flush(): void {
    if (this.batch.length === 0) return;
    const frames = this.batch;
    this.batch = [];
    this.batchBytes = 0;
    this.stats.tx_batches++;
    this.link.send(frames);
  }

  async stop(): Promise<void> {
    const off = this.unsubscribe;
    this.unsubscribe = undefined;
    await off?.();
  }

  counters(): Record<string, number> {
    return { ...this.stats };
  }

  private onFrames(sink: RxSink, frames: readonly WireFrame[]): void {
    for (const f of frames) {
      if (this.forUs(f.data)) sink.frame(f.data, metaOf(f));
      else this.stats.rx_filtered++;
    }
    sink.done();
  }

  /** The receive filter of a network card; what is too short to tell goes up and is counted there. */
  private forUs(frame: Uint8Array): boolean {
    if (frame.length < ETHERNET_HLEN) return true;
    const dst = getMac(frame, 0);
    return dst === this.mac || isMulticastMac(dst);
  }
}

function metaOf(f: WireFrame): RxMeta {
  if (f.csumStart === 0 && f.gsoSize === 0) return PLAIN;
  const meta: RxMeta = { csum: f.csumStart > 0 ? 'partial' : 'none' };
  if (f.csumStart > 0) {
    meta.csumStart = f.csumStart;
    meta.csumOffset = f.csumOffset;
  }
  if (f.gsoSize > 0) {
    meta.gsoSize = f.gsoSize;
    meta.gsoType = f.gsoType === SKB_GSO_TCPV4 ? SKB_GSO_TCPV4 : 0;
  }
  return meta;
}
