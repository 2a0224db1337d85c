import { isIP } from 'node:net';
import { inboxOf, isDataSubject, type Service } from '@skbus/contracts';
import { jetstream, type JetStreamClient } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import {
  errors,
  headers,
  nkeyAuthenticator,
  type Msg,
  type NatsConnection,
  type Subscription,
  type TlsOptions,
} from '@nats-io/transport-node';
import type { Credentials } from './credentials.ts';
import { BusError, type Bus, type BusStatus, type KvStore, type Responder, type Unsubscribe } from './bus.ts';
import { NatsKv } from './nats-kv.ts';
import { connectNats, NatsLane } from './nats-lane.ts';
import { Outage } from './outage.ts';

export interface NatsBusOptions {
  url: string;
  /** Shown by `nats server report connections`. */
  name: string;
  /** How long connect() keeps trying while the broker is not there yet. */
  connectTimeoutMs?: number;
  onError?: (error: unknown) => void;
  /** Who we are to a broker that asks. */
  credentials?: Credentials | undefined;
  /** The certificate to trust of a broker behind `tls://`; without one those that Node trusts. */
  caFile?: string | undefined;
}

/**
 * A broker that was killed is back within a tenth of a second, and what it carries cannot wait; one that stays away is not
 * worth an attempt each moment.
 */
const RECONNECT_MS = 20;
const RECONNECT_LATER_MS = 250;
const SOON_MS = 3_000;

interface Ends {
  data: NatsConnection;
  control: NatsConnection;
  /** Of `data`. */
  lane: NatsLane;
}

const ERROR_HEADER = 'Nats-Service-Error';

/**
 * The bus over NATS. Two connections: data (skb, sk and wire subjects) and control (everything else), so that a data
 * path that stalls in the broker never blocks health, boot or configuration.
 */
export class NatsBus implements Bus {
  private readonly data: NatsConnection;
  private readonly control: NatsConnection;
  private readonly kvm: Kvm;
  private readonly js: JetStreamClient;
  private readonly stores = new Map<string, Promise<NatsKv>>();
  private readonly listeners: ((status: BusStatus) => void)[] = [];
  private readonly onError: (error: unknown) => void;
  private readonly outage = new Outage();
  private readonly lane: NatsLane;

  private constructor(ends: Ends, onError: (error: unknown) => void) {
    const { data, control, lane } = ends;
    this.data = data;
    this.control = control;
    this.lane = lane;
    this.js = jetstream(control);
    this.kvm = new Kvm(this.js);
    this.onError = onError;
    void this.watchStatus();
  }

  /** Waits for the broker: services may start in any order. */
  static async connect(opts: NatsBusOptions): Promise<NatsBus> {
    const common = {
      ...tlsOptions(opts),
      servers: opts.url,
      maxReconnectAttempts: -1,
      waitOnFirstConnect: true,
      noEcho: true,
      // A broker that hangs is noticed in seconds, not in the default four minutes.
      pingInterval: 5_000,
    };
    const { credentials } = opts;
    const auth =
      credentials === undefined
        ? {}
        : {
            authenticator: nkeyAuthenticator(credentials.seed),
            inboxPrefix: inboxOf(credentials.netns, credentials.service as Service),
          };
    const deadline = opts.connectTimeoutMs;
    const lane = new NatsLane();
    const both = Promise.all([
      connectNats({ ...common, ...auth, reconnectDelayHandler: reconnectPause(), name: `${opts.name}.data`, lane }),
      connectNats({ ...common, ...auth, reconnectDelayHandler: reconnectPause(), name: `${opts.name}.ctl` }),
    ]);
    const why = async (): Promise<string> => {
      try {
        await (await connectNats({ ...common, ...auth, waitOnFirstConnect: false, reconnect: false })).close();
      } catch (e) {
        return rootOf(e);
      }
      return '';
    };
    const [data, control] = await (deadline === undefined ? both : orTimeout(both, deadline, opts.url, why)).catch(
      refusal(opts.url),
    );
    return new NatsBus({ data, control, lane }, opts.onError ?? ((e) => console.error(e)));
  }

  publish(subject: string, data: Uint8Array): void {
    const isData = isDataSubject(subject);
    if (isData && this.lane.publish(subject, data)) return;
    const nc = isData ? this.data : this.control;
    if (nc.isClosed()) return;
    try {
      nc.publish(subject, data);
    } catch (e) {
      this.onError(e);
    }
  }

  subscribe(subject: string, onMessage: (data: Uint8Array, subject: string) => void): Unsubscribe {
    const nc = this.of(subject);
    const take = (data: Uint8Array, from: string): void => {
      try {
        onMessage(data, from);
      } catch (e) {
        this.onError(e);
      }
    };
    const sub = nc.subscribe(subject, {
      callback: (err, msg) => {
        if (err) this.onError(err);
        else take(msg.data, msg.subject);
      },
    });
    if (nc !== this.data) return () => unsubscribe(sub);
    this.lane.take(sub.getID(), { subject: /[*>]/.test(subject) ? undefined : subject, take });
    return () => {
      this.lane.drop(sub.getID());
      unsubscribe(sub);
    };
  }

  async request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    let answer: Msg;
    try {
      answer = await this.outage.orCut(() => this.control.request(subject, data, { timeout: timeoutMs }));
    } catch (e) {
      if (e instanceof BusError) throw e;
      throw busError(e, subject, timeoutMs);
    }
    const failure = answer.headers?.get(ERROR_HEADER);
    if (failure) throw new BusError('REMOTE', failure);
    return answer.data;
  }

  respond(subject: string, handler: Responder): Unsubscribe {
    const sub = this.control.subscribe(subject, {
      callback: (err, msg) => {
        if (err) this.onError(err);
        else void this.answer(msg, handler);
      },
    });
    return () => unsubscribe(sub);
  }

  kv(bucket: string): Promise<KvStore> {
    let store = this.stores.get(bucket);
    if (!store) {
      store = this.outage
        .retrying(() => this.kvm.create(bucket, { history: 1 }))
        .then((kv) => new NatsKv({ name: bucket, kv, js: this.js }, this.outage, this.onError));
      // A broker that was just restarted may refuse once; the next caller tries again.
      store.catch(() => this.stores.delete(bucket));
      this.stores.set(bucket, store);
    }
    return store;
  }

  async flush(): Promise<void> {
    this.lane.flush();
    await Promise.all([this.data.flush(), this.control.flush()]);
  }

  async close(): Promise<void> {
    this.lane.flush();
    await Promise.allSettled([this.data.close(), this.control.close()]);
  }

  onStatus(listener: (status: BusStatus) => void): void {
    this.listeners.push(listener);
  }

  private of(subject: string): NatsConnection {
    return isDataSubject(subject) ? this.data : this.control;
  }

  private async answer(msg: Msg, handler: Responder): Promise<void> {
    try {
      const reply = await handler(msg.data, msg.subject);
      if (!this.control.isClosed()) msg.respond(reply);
    } catch (e) {
      const h = headers();
      h.set(ERROR_HEADER, (e instanceof Error ? e.message : String(e)).replaceAll(/[\r\n]+/g, ' '));
      if (!this.control.isClosed()) msg.respond(new Uint8Array(0), { headers: h });
    }
  }

  private async watchStatus(): Promise<void> {
    for await (const s of this.control.status()) {
      if (s.type === 'disconnect') {
        this.outage.begin();
        this.tell('disconnected');
      } else if (s.type === 'reconnect') {
        this.outage.end();
        for (const store of this.stores.values()) store.then(resume, () => {});
        this.tell('connected');
      } else if (s.type === 'error') this.onError(s.error);
    }
  }

  private tell(status: BusStatus): void {
    for (const l of this.listeners) l(status);
  }
}

const resume = (kv: NatsKv): void => kv.resume();

function unsubscribe(sub: Subscription): void {
  if (!sub.isClosed()) sub.unsubscribe();
}

function busError(e: unknown, subject: string, timeoutMs: number): BusError {
  if (e instanceof errors.NoRespondersError || (e instanceof errors.RequestError && e.isNoResponders())) {
    return new BusError('NO_RESPONDERS', `nobody answers on ${subject}`, { cause: e });
  }
  if (e instanceof errors.TimeoutError || (e instanceof Error && e.cause instanceof errors.TimeoutError)) {
    return new BusError('TIMEOUT', `no answer on ${subject} within ${timeoutMs} ms`, { cause: e });
  }
  return new BusError('CLOSED', `${subject}: ${e instanceof Error ? e.message : String(e)}`, { cause: e });
}

/** The client asks before each attempt, and also when it is only looking how long to wait. */
function reconnectPause(): () => number {
  let askedAt = 0;
  let since = 0;
  return () => {
    const now = performance.now();
    if (now - askedAt > SOON_MS) since = now;
    askedAt = now;
    return now - since < SOON_MS ? RECONNECT_MS : RECONNECT_LATER_MS;
  };
}

const refusal =
  (url: string) =>
  (e: unknown): never => {
    if (!(e instanceof errors.AuthorizationError)) throw e;
    throw new BusError(
      'CLOSED',
      `the broker at ${url} refuses these credentials, or asks for some: see SKBUS_NATS_CREDS`,
      {
        cause: e,
      },
    );
  };

async function orTimeout<T>(p: Promise<T>, ms: number, url: string, why: () => Promise<string>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      void why().then((reason) => {
        const because = reason === '' ? '' : `: ${reason}`;
        reject(new BusError('TIMEOUT', `no NATS server answers at ${url} within ${ms} ms${because}`));
      });
    }, ms);
  });
  try {
    return await Promise.race([p, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** `tls://`: never in the clear, and only with one who can show that it is the host of the URL. */
function tlsOptions({ url, caFile }: NatsBusOptions): { tls?: TlsOptions } {
  if (!url.startsWith('tls://')) return {};
  const host = new URL(url).hostname.replaceAll(/[[\]]/g, '');
  // The client names the host only where it is no address, and else the certificate would be held against "localhost".
  const named = isIP(host) === 0 ? {} : { host };
  return { tls: { ...(caFile === undefined ? {} : { caFile }), ...named } as TlsOptions };
}

function rootOf(e: unknown): string {
  let root = e;
  while (root instanceof Error && root.cause instanceof Error) root = root.cause;
  return (root instanceof Error ? root.message : String(root)).replace(/^(\w*Error: )+/, '');
}
