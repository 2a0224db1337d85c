import type { NetdevDriver, RxMeta } from '@skbus/dev';
import { CHECKSUM_PARTIAL, type SkBuff, type Tracepoint } from '@skbus/skb';
import type { LinkEnd } from './link.ts';

/** The driver of a device that is plugged into a link; what waits for the link's rate is its transmit ring. */
export class SimDriver implements NetdevDriver {
  readonly ndoStartXmit: Tracepoint = 'tun_net_xmit';
  private readonly end: LinkEnd;
  private readonly onFrame: () => void;

  constructor(end: LinkEnd, onFrame: () => void) {
    this.end = end;
    this.onFrame = onFrame;
  }

  get inRing(): number {
    return this.end.queued;
  }

  xmit(skb: SkBuff): boolean {
    this.onFrame();
    this.end.send(skb.bytes(), metaOf(skb));
    return true;
  }

  flush(): void {}
}

/** What a driver with offloads passes on beside the frame (virtio_net_hdr). */
function metaOf(skb: SkBuff): RxMeta {
  const gso = skb.gsoSize > 0 ? { gsoSize: skb.gsoSize, gsoType: skb.gsoType } : {};
  if (skb.ipSummed !== CHECKSUM_PARTIAL) return { csum: 'none', ...gso };
  return { csum: 'partial', csumStart: skb.csumStart - skb.data, csumOffset: skb.csumOffset, ...gso };
}
