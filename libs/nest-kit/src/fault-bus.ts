import { BusError, BusOver, type Responder, type Unsubscribe } from '@skbus/bus';
import type { FaultPoint, SeamDir } from '@skbus/fault';
import { monotonicMs } from './clock.ts';
import type { KitFaults } from './kit-faults.ts';

/**
 * The bus as one layer sees it: its control messages pass the layer's fault rules, out (tx) and in (rx), as `ctl.<verb>`. A
 * request that is lost is a time-out for who asks. Lists of skbs and of the socket seam pass the rules one by one, elsewhere;
 * and the rules' own verbs always get through, or no rule could be taken away.
 */
export class FaultBus extends BusOver {
  private cutMs = 0;
  private faults: KitFaults | undefined = undefined;

  /** Until then nothing comes from the bus, and nothing goes there: not even a rule's own verbs. */
  cut(untilMs: number): void {
    this.cutMs = untilMs;
  }

  /** From now on they have a say. */
  obey(faults: KitFaults): void {
    this.faults = faults;
  }

  publish(subject: string, data: Uint8Array): void {
    if (this.isCut()) return;
    const p = this.point('tx', subject);
    if (p === undefined) this.inner.publish(subject, data);
    else this.faults!.message(p, 0, data.length, () => this.inner.publish(subject, data));
  }

  subscribe(subject: string, onMessage: (data: Uint8Array, subject: string) => void): Unsubscribe {
    return this.inner.subscribe(subject, (data, from) => {
      if (this.isCut()) return;
      const p = this.point('rx', from);
      if (p === undefined) onMessage(data, from);
      else this.faults!.message(p, 0, data.length, () => onMessage(data, from));
    });
  }

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (this.isCut()) return silence(subject, timeoutMs);
    const p = this.point('tx', subject);
    if (p === undefined) return this.inner.request(subject, data, timeoutMs);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(late(subject, timeoutMs)), timeoutMs);
      const settle =
        <T>(how: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(timer);
          how(value);
        };
      this.faults!.message(p, 0, data.length, () => {
        this.inner.request(subject, data, timeoutMs).then(settle(resolve), settle(reject));
      });
    });
  }

  respond(subject: string, handler: Responder): Unsubscribe {
    return this.inner.respond(subject, (data, from) => {
      // Lost: never answered.
      if (this.isCut()) return new Promise(() => {});
      const p = this.point('rx', from);
      if (p === undefined) return handler(data, from);
      return new Promise((resolve, reject) => {
        this.faults!.message(p, 0, data.length, () => {
          Promise.resolve()
            .then(() => handler(data, from))
            .then(resolve, reject);
        });
      });
    });
  }

  private isCut(): boolean {
    if (this.cutMs === 0) return false;
    if (monotonicMs() < this.cutMs) return true;
    this.cutMs = 0;
    return false;
  }

  /** Where a control message passes, if any rule is there. */
  private point(dir: SeamDir, subject: string): FaultPoint | undefined {
    const { faults } = this;
    if (faults === undefined || !faults.control || !subject.startsWith('ctl.')) return undefined;
    const verb = subject.slice(subject.lastIndexOf('.') + 1);
    if (verb.startsWith('fault_')) return undefined;
    const p = faults.injector.point(dir, `ctl.${verb}`);
    return p.rules === undefined ? undefined : p;
  }
}

const late = (subject: string, ms: number): BusError =>
  new BusError('TIMEOUT', `no answer on ${subject} within ${ms} ms`);

const silence = (subject: string, ms: number): Promise<never> =>
  new Promise((_resolve, reject) => setTimeout(() => reject(late(subject, ms)), ms));
