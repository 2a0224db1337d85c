import type { Layer } from '@skbus/contracts';

/** What waits for one layer: some windows of the fastest connections. */
const KEPT_BYTES_MAX = 32 * 1024 * 1024;

interface Waiting {
  messages: { subject: string; message: Uint8Array }[];
  bytes: number;
}

/**
 * What is meant for a layer that has died waits until another process does its work: on the bus nobody would hear it. So only
 * what the layer had in hand is lost with it, like a frame on the cable; what comes after is late. Without this a
 * retransmission that falls into the gap is lost as well, and the next one comes after twice the time.
 */
export class Absent {
  private readonly waiting = new Map<Layer, Waiting>();
  private readonly publish: (subject: string, message: Uint8Array) => void;

  constructor(publish: (subject: string, message: Uint8Array) => void) {
    this.publish = publish;
  }

  gone(layer: Layer): void {
    if (!this.waiting.has(layer)) this.waiting.set(layer, { messages: [], bytes: 0 });
  }

  /** It is back, or not worth waiting for: all goes out in order. */
  back(layer: Layer): void {
    const w = this.waiting.get(layer);
    if (w === undefined) return;
    this.waiting.delete(layer);
    for (const { subject, message } of w.messages) this.publish(subject, message);
  }

  /** Whether it waits here; the message must not change any more. More than there is room for ends the waiting. */
  keeps(layer: Layer, subject: string, message: Uint8Array): boolean {
    if (this.waiting.size === 0) return false;
    const w = this.waiting.get(layer);
    if (w === undefined) return false;
    w.messages.push({ subject, message });
    w.bytes += message.length;
    if (w.bytes > KEPT_BYTES_MAX) this.back(layer);
    return true;
  }
}
