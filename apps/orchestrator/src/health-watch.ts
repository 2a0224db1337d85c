import type { Bus } from '@skbus/bus';
import { LAYERS, subjects, type Layer } from '@skbus/contracts';

/** How often a layer is asked, and how long it may think about it. */
const EVERY_MS = 500;
const DEADLINE_MS = 1_000;
/** One question without an answer may be a pause of the machine. */
const HUNG_MISSES = 2;
/** A process that has not said hello yet is loading modules. */
const STARTING_MS = 15_000;

const NOTHING = new Uint8Array(0);

export interface HealthOptions {
  bus: Bus;
  netns: string;
  /** A layer that does not answer for this long is killed, and so replaced; 0: only reported. */
  killAfterMs: number;
  /** Its process: how long it has been there, and whether it has come up; `undefined`: there is none. */
  processOf: (layer: Layer) => { uptimeMs: number; running: boolean } | undefined;
  kill: (layer: Layer) => void;
  say: (line: string) => void;
}

interface Pulse {
  /** Questions in a row without an answer. */
  misses: number;
  killed: boolean;
}

/**
 * Whether the layers are not only there but alive: a process that is stopped or caught in a loop holds everything up as a dead
 * one does. Time is counted in unanswered questions, so that a pause of this very process says nothing about the others; and
 * when the broker does not answer either, nothing is said about the layers.
 */
export class HealthWatch {
  private readonly opts: HealthOptions;
  private readonly pulses = new Map<Layer, Pulse>(LAYERS.map((l) => [l, { misses: 0, killed: false }]));
  private timer: NodeJS.Timeout | undefined = undefined;
  private stopped = false;

  constructor(opts: HealthOptions) {
    this.opts = opts;
  }

  start(): void {
    this.timer = setTimeout(() => void this.round(), EVERY_MS);
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  isHung(layer: Layer): boolean {
    return this.pulses.get(layer)!.misses >= HUNG_MISSES;
  }

  private async round(): Promise<void> {
    const asked = LAYERS.filter((l) => this.isUp(l));
    const [broker, ...answers] = await Promise.all([this.reachesBroker(), ...asked.map((l) => this.answers(l))]);
    if (this.stopped) return;
    if (broker) for (const [i, layer] of asked.entries()) this.judge(layer, answers[i]!);
    this.timer = setTimeout(() => void this.round(), EVERY_MS);
  }

  private isUp(layer: Layer): boolean {
    const p = this.opts.processOf(layer);
    if (p !== undefined && (p.running || p.uptimeMs > STARTING_MS)) return true;
    // It has died, or is another one now.
    this.pulses.set(layer, { misses: 0, killed: false });
    return false;
  }

  private judge(layer: Layer, answered: boolean): void {
    const { killAfterMs, say, kill } = this.opts;
    const p = this.pulses.get(layer)!;
    if (answered) {
      if (p.misses >= HUNG_MISSES) say(`skbus: ${layer}: answers again`);
      p.misses = 0;
      return;
    }
    p.misses++;
    const silentMs = p.misses * (DEADLINE_MS + EVERY_MS);
    if (p.misses === HUNG_MISSES) say(`skbus: ${layer}: hangs: no answer for ${silentMs / 1000} s`);
    if (killAfterMs === 0 || silentMs < killAfterMs || p.killed) return;
    p.killed = true;
    say(`skbus: ${layer}: no answer for ${silentMs / 1000} s, killing it`);
    kill(layer);
  }

  private async answers(layer: Layer): Promise<boolean> {
    const { bus, netns } = this.opts;
    const at = performance.now();
    try {
      await bus.request(subjects.ctl(netns, layer, 'health'), NOTHING, DEADLINE_MS);
      return true;
    } catch {
      // "Nobody there" comes at once; each miss stands for the same time.
      await rest(DEADLINE_MS - (performance.now() - at));
      return false;
    }
  }

  private reachesBroker(): Promise<boolean> {
    return Promise.race([
      this.opts.bus.flush().then(
        () => true,
        () => false,
      ),
      rest(DEADLINE_MS).then(() => false),
    ]);
  }
}

const rest = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, Math.max(0, ms)));
