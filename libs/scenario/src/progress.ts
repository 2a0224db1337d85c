import type { Millis } from '@skbus/skb';

/** Bytes and answers as they come in, and the longest time without any. */
export class Progress {
  bytes = 0;
  private lastMs: Millis = 0;
  private longestMs: Millis = 0;
  private begun = false;
  private over = false;

  /** From here on it counts: the first thing happens to the stack. */
  begin(nowMs: Millis): void {
    if (this.begun) return;
    this.begun = true;
    this.lastMs = nowMs;
    this.longestMs = 0;
  }

  made(bytes: number, nowMs: Millis): void {
    this.bytes += bytes;
    this.longestMs = Math.max(this.longestMs, nowMs - this.lastMs);
    this.lastMs = nowMs;
  }

  /** Nothing more is to come. */
  end(nowMs: Millis): void {
    if (!this.over) this.made(0, nowMs);
    this.over = true;
  }

  get recoverMs(): Millis {
    return this.longestMs;
  }
}
