import { z } from 'zod';

/** Which way a toxic works: upstream from the client to the server, downstream back. */
export type StreamName = 'upstream' | 'downstream';

const count = z.number().int().min(0);

/** Attributes by type, with Toxiproxy's defaults: what is not given is 0. Milliseconds, KB/s, bytes; the slicer's delay in µs. */
export const TOXIC_ATTRIBUTES = {
  latency: z.object({ latency: count.default(0), jitter: count.default(0) }),
  bandwidth: z.object({ rate: count.default(0) }),
  slow_close: z.object({ delay: count.default(0) }),
  timeout: z.object({ timeout: count.default(0) }),
  reset_peer: z.object({ timeout: count.default(0) }),
  slicer: z.object({ average_size: count.default(0), size_variation: count.default(0), delay: count.default(0) }),
  limit_data: z.object({ bytes: count.default(0) }),
  packet_loss: z.object({
    loss_rate: z.number().min(0).max(1).default(0),
    correlation: z.number().min(0).max(1).default(0),
  }),
};

export type ToxicType = keyof typeof TOXIC_ATTRIBUTES;
export type Attributes<T extends ToxicType> = z.infer<(typeof TOXIC_ATTRIBUTES)[T]>;

/** A toxic as the API shows it. */
export interface Toxic<T extends ToxicType = ToxicType> {
  name: string;
  type: T;
  stream: StreamName;
  /** For which share of the connections it works. */
  toxicity: number;
  attributes: Attributes<T>;
}

export const isToxicType = (s: string): s is ToxicType => Object.hasOwn(TOXIC_ATTRIBUTES, s);
