import type { Door } from './door.ts';

/** Whether an open socket or server keeps the process alive: ref() and unref() of Node. */
export class HandleRef {
  private readonly door: Door;
  private isOpen = false;
  private wanted = true;
  private holding = false;

  constructor(door: Door) {
    this.door = door;
  }

  open(): void {
    this.isOpen = true;
    this.update();
  }

  close(): void {
    this.isOpen = false;
    this.update();
  }

  ref(): void {
    this.wanted = true;
    this.update();
  }

  unref(): void {
    this.wanted = false;
    this.update();
  }

  private update(): void {
    const hold = this.isOpen && this.wanted;
    if (hold === this.holding) return;
    this.holding = hold;
    if (hold) this.door.hold();
    else this.door.release();
  }
}
