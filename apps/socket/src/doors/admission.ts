/** How many connections a door lets in at once, and how many of those may be half-open: greeting, or waiting for the other side. */
export interface DoorLimits {
  connections: number;
  halfOpen: number;
}

export const DOOR_LIMITS: DoorLimits = { connections: 4096, halfOpen: 1024 };

/** A refusal is worth a line in the log once, and then a sum now and again. */
const SAY_EVERY_MS = 10_000;

/** The place that one connection takes. */
export interface Place {
  /** Both sides are there. */
  opened(): void;
  /** The connection is gone; harmless to repeat. */
  left(): void;
}

export interface AdmissionOptions {
  /** As the log names the door. */
  door: string;
  limits: DoorLimits;
  say: (line: string) => void;
  now: () => number;
}

/** The bound on what comes through one door. Who is refused is counted, and the log says so without being flooded. */
export class Admission {
  open = 0;
  halfOpen = 0;
  refused = 0;
  private readonly opts: AdmissionOptions;
  private saidAt = Number.NEGATIVE_INFINITY;
  private unsaid = 0;

  constructor(opts: AdmissionOptions) {
    this.opts = opts;
  }

  /** Undefined: there is no place, hang up. */
  enter(): Place | undefined {
    const { limits } = this.opts;
    if (this.open >= limits.connections) return this.refuse(`${this.open} connections are open`);
    if (this.halfOpen >= limits.halfOpen) return this.refuse(`${this.halfOpen} connections are half-open`);
    this.open++;
    this.halfOpen++;
    let state: 'half-open' | 'open' | 'gone' = 'half-open';
    return {
      opened: () => {
        if (state !== 'half-open') return;
        state = 'open';
        this.halfOpen--;
      },
      left: () => {
        if (state === 'gone') return;
        if (state === 'half-open') this.halfOpen--;
        state = 'gone';
        this.open--;
      },
    };
  }

  private refuse(why: string): undefined {
    this.refused++;
    this.unsaid++;
    const now = this.opts.now();
    if (now - this.saidAt < SAY_EVERY_MS) return;
    this.opts.say(
      `skbus: ${this.opts.door}: ${why}, which is the limit: refused ${this.unsaid} (${this.refused} in all)`,
    );
    this.saidAt = now;
    this.unsaid = 0;
  }
}
