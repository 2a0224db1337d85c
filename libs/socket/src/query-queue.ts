import type { ProtoAnswer, SkQuery } from '@skbus/skb';
import type { SysReply } from './types.ts';

/** getsockopt() calls that only the transport can answer. Each is asked again until an answer with its id has come. */
export class QueryQueue {
  private readonly open = new Map<number, { query: SkQuery; reply: (a: ProtoAnswer) => SysReply; answer?: SysReply }>();
  private lastId = 0;
  /** Some have yet to be sent (again). */
  unsent = false;

  ask(level: number, name: number, reply: (a: ProtoAnswer) => SysReply): number {
    const id = ++this.lastId;
    this.open.set(id, { query: { id, level, name }, reply });
    this.unsent = true;
    return id;
  }

  /** Those without an answer. */
  get waiting(): boolean {
    for (const q of this.open.values()) if (q.answer === undefined) return true;
    return false;
  }

  takeUnsent(): SkQuery[] {
    this.unsent = false;
    return [...this.open.values()].filter((q) => q.answer === undefined).map((q) => q.query);
  }

  onAnswer(a: ProtoAnswer): boolean {
    const q = this.open.get(a.id);
    if (q === undefined || q.answer !== undefined) return false;
    q.answer = q.reply(a);
    return true;
  }

  /** The transport is gone: nobody will answer. */
  failAll(reply: SysReply): void {
    for (const q of this.open.values()) q.answer ??= reply;
  }

  /** The reply to query `id`, which is then forgotten. */
  take(id: number): SysReply | undefined {
    const reply = this.open.get(id)?.answer;
    if (reply !== undefined) this.open.delete(id);
    return reply;
  }

  forget(id: number): void {
    this.open.delete(id);
  }
}
