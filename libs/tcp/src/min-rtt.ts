import { NEVER, type Millis } from '@skbus/skb';

/** The second and third best of a window, when they are not simply the best. */
interface Later {
  ms: Millis;
  atMs: Millis;
  ms3: Millis;
  at3Ms: Millis;
}

/**
 * The least RTT of the last `tcp_min_rtt_wlen` seconds, from three samples (lib/win_minmax.c, after Kathleen Nichols):
 * the best, and the best after each of the better ones, so that the window can move without a history.
 */
export class MinRtt {
  ms: Millis = NEVER;
  private atMs: Millis = 0;
  private later: Later | undefined = undefined;

  /** minmax_running_min() */
  update(rttMs: Millis, now: Millis, windowMs: Millis): void {
    const third = this.later === undefined ? this.atMs : this.later.at3Ms;
    if (rttMs <= this.ms || now - third > windowMs) {
      this.ms = rttMs;
      this.atMs = now;
      this.later = undefined;
      return;
    }
    const l = (this.later ??= { ms: this.ms, atMs: this.atMs, ms3: this.ms, at3Ms: this.atMs });
    if (rttMs <= l.ms) {
      l.ms = l.ms3 = rttMs;
      l.atMs = l.at3Ms = now;
    } else if (rttMs <= l.ms3) {
      l.ms3 = rttMs;
      l.at3Ms = now;
    }
    this.age(l, rttMs, now, windowMs);
  }

  /** minmax_subwin_update(): the best leaves the window, or a quarter or half of it passed without a second or third. */
  private age(l: Later, rttMs: Millis, now: Millis, windowMs: Millis): void {
    const passed = now - this.atMs;
    if (passed > windowMs) {
      this.shift(l, rttMs, now);
      if (now - this.atMs > windowMs) this.shift(l, rttMs, now);
    } else if (l.atMs === this.atMs && passed > windowMs / 4) {
      l.ms = l.ms3 = rttMs;
      l.atMs = l.at3Ms = now;
    } else if (l.at3Ms === l.atMs && passed > windowMs / 2) {
      l.ms3 = rttMs;
      l.at3Ms = now;
    }
  }

  private shift(l: Later, rttMs: Millis, now: Millis): void {
    this.ms = l.ms;
    this.atMs = l.atMs;
    l.ms = l.ms3;
    l.atMs = l.at3Ms;
    l.ms3 = rttMs;
    l.at3Ms = now;
  }
}
