import { BootMachine, type BootAnswer, type BootLayer, type BootOptions, type BootRequest } from '@skbus/boot';
import { BusError, type Bus } from '@skbus/bus';
import { pb, subjects } from '@skbus/contracts';
import { monotonicMs } from '@skbus/nest-kit';
import { ERRNO, NEVER, type LayerEnv } from '@skbus/skb';

const ANSWER_WITHIN_MS = 10_000;

/** Plays the boot machine over the bus. */
export class BootRunner {
  readonly machine: BootMachine;
  private readonly bus: Bus;
  private readonly netns: string;
  /** What has to be done outside once a call has succeeded; its error becomes the call's. */
  private readonly afterwards: (r: BootRequest) => Promise<void>;
  private readonly onStep: () => void;
  private timer: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    bus: Bus,
    netns: string,
    env: LayerEnv,
    opts: BootOptions & { afterwards: (r: BootRequest) => Promise<void>; onStep: () => void },
  ) {
    this.machine = new BootMachine(env, opts);
    this.bus = bus;
    this.netns = netns;
    this.afterwards = opts.afterwards;
    this.onStep = opts.onStep;
  }

  start(): void {
    this.machine.start(monotonicMs());
    this.pump();
  }

  restarted(layer: BootLayer): void {
    this.machine.restarted(layer, monotonicMs());
    this.pump();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private pump(): void {
    if (this.stopped) return;
    for (let r = this.machine.pollRequest(); r; r = this.machine.pollRequest()) void this.send(r);
    clearTimeout(this.timer);
    const at = this.machine.pollTimeout();
    if (at !== NEVER) {
      this.timer = setTimeout(
        () => {
          this.machine.handleTimeout(monotonicMs());
          this.pump();
        },
        Math.max(0, at - monotonicMs()),
      );
    }
    this.onStep();
  }

  private async send(r: BootRequest): Promise<void> {
    const answer = await this.ask(r);
    if (this.stopped) return;
    this.machine.handleAnswer(r.id, answer, monotonicMs());
    this.pump();
  }

  private async ask(r: BootRequest): Promise<BootAnswer | undefined> {
    const { name, level, params, replay } = r;
    try {
      const request = pb.InitcallRequest.encode({ name, level, params, replay }).finish();
      const reply = pb.InitcallReply.decode(
        await this.bus.request(subjects.ctl(this.netns, r.to, 'initcall'), request, ANSWER_WITHIN_MS),
      );
      if (reply.errno === 0) await this.afterwards(r);
      return { errno: reply.errno, message: reply.message, printk: reply.printk };
    } catch (e) {
      if (e instanceof BusError && e.code !== 'REMOTE') return undefined;
      return { errno: ERRNO.EIO, message: e instanceof Error ? e.message : String(e), printk: [] };
    }
  }
}
