import type { SkBuff } from '@skbus/skb';
import type { Seam } from '../rule.ts';

/** What a filter looks at: an skb or a message at a seam. Valid only during the call. */
export interface FilterSubject {
  seam: Seam;
  /** Absent for a message that carries none. */
  skb?: SkBuff;
  /** Where the layer's view of it starts: what header stands at `skb.data` (by the seam's func). */
  starts: 'eth' | 'ip' | 'tcp' | 'udp' | 'none';
  /** What the layer knows about the socket it belongs to. */
  sk?: { id: number; state: string };
}

/** A compiled display filter; pure, may be asked any number of times. */
export interface Filter {
  readonly text: string;
  matches(subject: FilterSubject): boolean;
}

/** Where in the text it went wrong (from 0), and one sentence. */
export interface FilterError {
  column: number;
  message: string;
}
