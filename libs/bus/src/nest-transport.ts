import { Server, type CustomTransportStrategy } from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';
import type { Bus, Unsubscribe } from './bus.ts';
import type { MicroEndpoint } from './micro.ts';

/** Second argument of a `@MessagePattern` handler. */
export interface BusContext {
  subject: string;
}

/**
 * Nest's control plane over our bus: each `@MessagePattern('verb')` of a service answers requests with bytes in and bytes
 * out (protobuf; Nest's own NATS transport would wrap JSON around them and cost 13–18 µs a message). The data plane
 * does not pass here at all: see LayerKit, which calls plain methods.
 */
export class BusTransport extends Server implements CustomTransportStrategy {
  override readonly transportId = Symbol('skbus');
  private readonly bus: Bus;
  private readonly subjectOf: (pattern: string) => string;
  private readonly undo: Unsubscribe[] = [];
  /** What has been asked so far. */
  readonly endpoints: MicroEndpoint[] = [];

  constructor(bus: Bus, subjectOf: (pattern: string) => string) {
    super();
    this.bus = bus;
    this.subjectOf = subjectOf;
  }

  listen(done: (err?: unknown) => void): void {
    for (const [pattern, handler] of this.messageHandlers) {
      const answer = async (data: Uint8Array, subject: string): Promise<Uint8Array> => {
        const result = await handler(data, { subject } satisfies BusContext);
        return (await lastValueFrom(this.transformToObservable(result))) as Uint8Array;
      };
      const subject = this.subjectOf(pattern);
      const counts = { name: pattern, subject, requests: 0, errors: 0, lastError: '', processingMs: 0 };
      this.endpoints.push(counts);
      this.undo.push(this.bus.respond(subject, (data, to) => counted(counts, () => answer(data, to))));
    }
    this.bus.flush().then(() => done(), done);
  }

  close(): void {
    for (const u of this.undo) u();
  }

  override on(): void {}

  override unwrap<T>(): T {
    return this.bus as unknown as T;
  }
}

async function counted<T>(counts: MicroEndpoint, step: () => Promise<T>): Promise<T> {
  const began = performance.now();
  counts.requests++;
  try {
    return await step();
  } catch (e) {
    counts.errors++;
    counts.lastError = e instanceof Error ? e.message : String(e);
    throw e;
  } finally {
    counts.processingMs += performance.now() - began;
  }
}
