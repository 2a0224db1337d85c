import type { Micros, SysResult, SysTicket } from '../target.ts';

/** A call in real time: settled once, by whoever made it. */
export class Ticket implements SysTicket {
  result: SysResult | undefined = undefined;
  doneUs: Micros = 0;
  readonly settled: Promise<SysResult>;
  private done!: (r: SysResult) => void;

  constructor() {
    this.settled = new Promise((resolve) => (this.done = resolve));
  }

  settle(result: SysResult, at: Micros): void {
    if (this.result !== undefined) return;
    this.result = result;
    this.doneUs = at;
    this.done(result);
  }
}
