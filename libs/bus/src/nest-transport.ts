import { Server, type CustomTransportStrategy } from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';
import type { Bus, Unsubscribe } from './bus.ts';

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
      this.undo.push(this.bus.respond(this.subjectOf(pattern), answer));
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
