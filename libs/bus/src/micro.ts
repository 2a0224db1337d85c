import { SRV_VERBS, subjects, type SrvVerb } from '@skbus/contracts';
import type { Bus, Unsubscribe } from './bus.ts';

/** What `nats micro ls|info|stats|ping` shows of a service. */
export interface MicroService {
  name: string;
  /** Of this process. */
  id: string;
  version: string;
  description: string;
  metadata: Record<string, string>;
  /** Asked anew each time. */
  endpoints: () => MicroEndpoint[];
}

export interface MicroEndpoint {
  name: string;
  subject: string;
  requests: number;
  errors: number;
  lastError: string;
  processingMs: number;
  /** Whatever else there is to say. */
  data?: Record<string, unknown>;
}

const NS_PER_MS = 1e6;

/**
 * Answers to the NATS services protocol (nats-architecture-and-design ADR-32), so that the tools of NATS find the services. The
 * library that does this is bound to another version of the client, and would want to own the endpoints.
 */
export function announce(bus: Bus, service: MicroService, started: Date): Unsubscribe {
  const { name, id } = service;
  const encoder = new TextEncoder();
  const undo = SRV_VERBS.flatMap((verb) => {
    const answer = (): Uint8Array => encoder.encode(JSON.stringify(answerTo(verb, service, started)));
    return [subjects.srv(verb), subjects.srv(verb, name), subjects.srv(verb, name, id)].map((s) =>
      bus.respond(s, answer),
    );
  });
  return () => undo.forEach((u) => u());
}

const ANSWERS: Record<SrvVerb, (s: MicroService, started: Date) => Record<string, unknown>> = {
  PING: () => ({}),
  INFO: ({ description, endpoints }) => ({
    description,
    endpoints: endpoints().map((e) => ({ name: e.name, subject: e.subject, queue_group: '', metadata: {} })),
  }),
  STATS: ({ endpoints }, started) => ({ started: started.toISOString(), endpoints: endpoints().map(statsOf) }),
};

function answerTo(verb: SrvVerb, service: MicroService, started: Date): Record<string, unknown> {
  const { name, id, version, metadata } = service;
  const type = `io.nats.micro.v1.${verb.toLowerCase()}_response`;
  return { type, name, id, version, metadata, ...ANSWERS[verb](service, started) };
}

const statsOf = (e: MicroEndpoint): Record<string, unknown> => ({
  name: e.name,
  subject: e.subject,
  queue_group: '',
  num_requests: e.requests,
  num_errors: e.errors,
  last_error: e.lastError,
  processing_time: Math.round(e.processingMs * NS_PER_MS),
  average_processing_time: e.requests === 0 ? 0 : Math.round((e.processingMs * NS_PER_MS) / e.requests),
  ...(e.data === undefined ? {} : { data: e.data }),
});
