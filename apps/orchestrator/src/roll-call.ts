import { setTimeout as sleep } from 'node:timers/promises';
import { BusError, type Bus } from '@skbus/bus';
import { LAYERS, subjects, type Layer } from '@skbus/contracts';

/** Half of TCP's shortest retransmission timeout: who has gone is known before the first retransmission for him. */
const EVERY_MS = 100;
const ANSWER_WITHIN_MS = 1_000;
const NOTHING = new Uint8Array(0);

/**
 * Who is on the bus, where services are somebody else's processes whose end nobody tells: the broker answers at once for one that
 * is not there. One that is silent is there; that is the health watch's business.
 */
export class RollCall {
  private readonly bus: Bus;
  private readonly netns: string;
  private readonly onGone: (layer: Layer) => void;
  private readonly isAbsent: (layer: Layer) => boolean;
  private stopped = false;

  constructor(
    bus: Bus,
    netns: string,
    how: {
      onGone: (layer: Layer) => void;
      /** Is known to have gone; it says hello when it is back. */
      isAbsent: (layer: Layer) => boolean;
    },
  ) {
    this.bus = bus;
    this.netns = netns;
    this.onGone = how.onGone;
    this.isAbsent = how.isAbsent;
  }

  start(): void {
    for (const layer of LAYERS) void this.call(layer);
  }

  stop(): void {
    this.stopped = true;
  }

  private async call(layer: Layer): Promise<void> {
    while (!this.stopped) {
      if (!this.isAbsent(layer) && (await this.isGone(layer)) && !this.stopped) this.onGone(layer);
      await sleep(EVERY_MS);
    }
  }

  private async isGone(layer: Layer): Promise<boolean> {
    try {
      await this.bus.request(subjects.ctl(this.netns, layer, 'health'), NOTHING, ANSWER_WITHIN_MS);
      return false;
    } catch (e) {
      return e instanceof BusError && e.code === 'NO_RESPONDERS';
    }
  }
}
