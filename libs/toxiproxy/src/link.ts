import { NEVER, type Millis } from '@skbus/skb';
import { stageFor, type AnyStage, type Chance, type Piece } from './stages.ts';
import type { Toxic } from './toxics.ts';

/**
 * One direction of one connection: what comes in passes the toxics in the order they were added. No I/O and no clock:
 * the shell says what time it is, and asks when to come again.
 */
export class ToxicLink {
  private readonly chance: Chance;
  /** `undefined`: a toxic that spares this connection (its toxicity). */
  private readonly stages: { name: string; stage: AnyStage | undefined }[] = [];
  private out: Piece[] = [];

  constructor(toxics: readonly Toxic[], chance: Chance, now: Millis) {
    this.chance = chance;
    for (const t of toxics) this.add(t, now);
  }

  write(data: Uint8Array, now: Millis): void {
    this.feed(0, { at: now, data });
  }

  end(now: Millis): void {
    this.feed(0, { at: now, end: 'fin' });
  }

  add(toxic: Toxic, now: Millis): void {
    const stage = this.chance() < toxic.toxicity ? stageFor(toxic, this.chance, now) : undefined;
    this.stages.push({ name: toxic.name, stage });
  }

  /** New attributes, and the dice of its toxicity are thrown again (toxics/toxic.go: ToxicStub.Run). */
  update(toxic: Toxic, now: Millis): void {
    const i = this.stages.findIndex((s) => s.name === toxic.name);
    const entry = this.stages[i];
    if (entry === undefined) return;
    const { stage } = entry;
    if (this.chance() >= toxic.toxicity) {
      entry.stage = undefined;
      for (const p of stage?.flush(now) ?? []) this.feed(i, p);
    } else if (stage === undefined) entry.stage = stageFor(toxic, this.chance, now);
    else stage.update(toxic, now);
  }

  remove(name: string, now: Millis): void {
    const i = this.stages.findIndex((s) => s.name === name);
    if (i < 0) return;
    const [gone] = this.stages.splice(i, 1);
    for (const p of gone!.stage?.removed(now) ?? []) this.feed(i, p);
  }

  /** What has come through by now. */
  take(now: Millis): Piece[] {
    for (let i = this.first(now); i >= 0; i = this.first(now)) this.feed(i + 1, this.stages[i]!.stage!.take(now)!);
    const { out } = this;
    this.out = [];
    return out;
  }

  get nextAt(): Millis {
    if (this.out.length > 0) return 0;
    return this.stages.reduce((at, s) => Math.min(at, s.stage?.nextAt ?? NEVER), NEVER);
  }

  /** Bytes that wait. */
  get buffered(): number {
    return this.stages.reduce((n, s) => n + (s.stage?.buffered ?? 0), 0);
  }

  /** The stage whose piece is due first. */
  private first(now: Millis): number {
    const at = Math.min(
      now,
      this.stages.reduce((t, s) => Math.min(t, s.stage?.nextAt ?? NEVER), NEVER),
    );
    return this.stages.findIndex((s) => s.stage !== undefined && s.stage.nextAt <= at);
  }

  private feed(from: number, p: Piece): void {
    const to = this.stages.slice(from).find((s) => s.stage !== undefined)?.stage;
    if (to === undefined) this.out.push(p);
    else to.push(p);
  }
}
