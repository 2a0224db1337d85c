import { TimeQueue, type Millis } from '@skbus/skb';

/** Messages and frames keep a simulation busy; timers alone do not: some of them never end. */
export type EventKind = 'message' | 'frame' | 'program' | 'timer';

interface Event {
  readonly kind: EventKind;
  readonly run: () => void;
}

/** The time of a simulation: it stands still while something happens and then jumps to the next event. */
export class VirtualClock {
  now: Millis = 0;
  /** Events that ran. */
  steps = 0;
  private readonly events = new TimeQueue<Event>();
  private readonly waiting: Record<EventKind, number> = { message: 0, frame: 0, program: 0, timer: 0 };

  /** Runs `run` at `at`, after everything that was scheduled for that time before. */
  schedule(at: Millis, kind: EventKind, run: () => void): void {
    this.waiting[kind]++;
    this.events.push(Math.max(at, this.now), { kind, run });
  }

  /** Runs the next event. False: there is none before `until`, and it is now `until` if that is a time. */
  step(until: Millis): boolean {
    const at = this.events.nextAt;
    const next = this.events.shift(until);
    if (next === undefined) {
      if (Number.isFinite(until) && until > this.now) this.now = until;
      return false;
    }
    this.waiting[next.kind]--;
    this.now = at;
    this.steps++;
    next.run();
    return true;
  }

  /** Nothing is on its way. */
  get quiet(): boolean {
    return this.waiting.message + this.waiting.frame + this.waiting.program === 0;
  }

  get nextAt(): Millis {
    return this.events.nextAt;
  }
}
