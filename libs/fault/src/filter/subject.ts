import type { SkBuff } from '@skbus/skb';
import type { Seam } from '../rule.ts';

/** What a filter looks at: an skb or a message at a seam. Valid only during the call. */
export interface FilterSubject {
  seam: Seam;
  /** Absent for a message that carries none. */
  skb?: SkBuff | undefined;
  /**
   * Where the layer's view of it starts: what header stands at `skb.data` (by the seam's func). Headers before it are found
   * by skb.macHeader and skb.networkHeader. `none`: not known; those two are all there is.
   */
  starts: HeaderStart;
  /** What the layer knows about the socket it belongs to. */
  sk?: { id: number; state: string } | undefined;
}

export type HeaderStart = 'eth' | 'arp' | 'ip' | 'icmp' | 'tcp' | 'udp' | 'none';
