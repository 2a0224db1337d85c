/** socket.setTimeout(): fires after so long without traffic; never keeps the process alive. */
export class IdleTimer {
  ms = 0;
  private timer: NodeJS.Timeout | undefined = undefined;
  private readonly fire: () => void;

  constructor(fire: () => void) {
    this.fire = fire;
  }

  set(ms: number): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.ms = ms > 0 && Number.isFinite(ms) ? Math.min(ms, 0x7fff_ffff) : 0;
    if (this.ms > 0) {
      this.timer = setTimeout(this.fire, this.ms);
      this.timer.unref();
    }
  }

  touch(): void {
    this.timer?.refresh();
  }
}
