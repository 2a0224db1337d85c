import type { Millis } from '@skbus/skb';

/** One record of the kernel's ring buffer. */
export interface LogRecord {
  seq: number;
  /** Since start_kernel. */
  ms: Millis;
  /** The service that said it. */
  layer: string;
  text: string;
}

/** As dmesg(1) prints it: `[    0.012345] NET: Registered PF_INET protocol family`. */
export function formatDmesg(r: Pick<LogRecord, 'ms' | 'text'>): string {
  const us = Math.max(0, Math.round(r.ms * 1000));
  const seconds = String(Math.floor(us / 1e6)).padStart(5);
  return `[${seconds}.${String(us % 1e6).padStart(6, '0')}] ${r.text}`;
}

const TEXT_MAX = 1024;

/** printk's ring buffer: the newest records stay (kernel/printk/printk_ringbuffer.c). */
export class KernelLog {
  private records: LogRecord[] = [];
  private next = 0;
  private originMs: Millis;
  private readonly capacity: number;
  private readonly listeners = new Set<(r: LogRecord) => void>();

  constructor(originMs: Millis, capacity = 4096) {
    this.originMs = originMs;
    this.capacity = capacity;
  }

  /** Time 0 is now: start_kernel. */
  startClock(now: Millis): void {
    this.originMs = now;
  }

  /** One record per line; control characters are shown as \xNN, as the console does. */
  print(layer: string, text: string, now: Millis): void {
    for (const line of text.split('\n')) this.add(layer, line, now);
  }

  /** Records from `seq` on that are still there. */
  since(seq = 0): LogRecord[] {
    return this.records.filter((r) => r.seq >= seq);
  }

  /** Calls back for each new record; returns how to stop. */
  follow(listener: (r: LogRecord) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  private add(layer: string, line: string, now: Millis): void {
    const text = line.slice(0, TEXT_MAX).replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f]/g, escape);
    const record: LogRecord = { seq: this.next++, ms: now - this.originMs, layer, text };
    this.records.push(record);
    // Trimmed in halves, so that a line costs no copy of the whole buffer.
    if (this.records.length >= this.capacity * 2) this.records = this.records.slice(-this.capacity);
    for (const l of this.listeners) l(record);
  }
}

const escape = (c: string): string => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`;
