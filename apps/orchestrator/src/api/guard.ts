import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { RateLimit } from './rate-limit.ts';

/** Bodies: a log to be replayed may be long, what else is posted is not. */
export const BODY_MAX_BYTES = 256 * 1024;
export const LOG_MAX_BYTES = 16 * 1024 * 1024;

export interface GuardOptions {
  /** Whoever asks must know it; undefined: whoever reaches the port may ask. */
  token: string | undefined;
  tls: boolean;
  /** Requests a second from one address; 0: no bound. */
  ratePerS: number;
  /** What was refused, for the log. */
  say: (line: string) => void;
  now: () => number;
}

interface Refusal {
  status: number;
  message: string;
  headers?: Record<string, string>;
}

const LOCAL_NAME = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\]|orchestrator)(:\d+)?$/i;
const LOCAL_ADDRESS = /^(127\.|::1$|::ffff:127\.)/;
const SAY_EVERY_MS = 10_000;

/** Stands before everything else of the control API: who may ask, how often, and how much at once. */
export class Guard {
  private readonly opts: GuardOptions;
  private readonly digest: Buffer | undefined;
  private readonly rate: RateLimit;
  private saidAt = Number.NEGATIVE_INFINITY;
  private unsaid = 0;

  constructor(opts: GuardOptions) {
    this.opts = opts;
    this.digest = opts.token === undefined ? undefined : sha256(opts.token);
    this.rate = new RateLimit(opts.ratePerS, opts.now);
  }

  /** As Express has its middleware. */
  readonly check = (req: IncomingMessage, res: ServerResponse, next: () => void): void => {
    const no = this.refusalOf(req);
    if (no === undefined) return next();
    this.note(`${no.status} ${no.message}`, req.socket.remoteAddress);
    // What it still sends is not read.
    res.writeHead(no.status, { 'content-type': 'application/json', connection: 'close', ...no.headers });
    res.end(JSON.stringify({ statusCode: no.status, message: no.message }));
  };

  private refusalOf(req: IncomingMessage): Refusal | undefined {
    const { ratePerS } = this.opts;
    const from = req.socket.remoteAddress ?? '';
    if (!this.rate.admits(from))
      return { status: 429, message: `more than ${ratePerS} requests a second`, headers: { 'retry-after': '1' } };
    return this.foreign(req) ?? this.unknown(req, from) ?? tooLong(req);
  }

  /**
   * A web page must not reach the API through the browser of somebody who runs a stack: no request that another origin
   * makes, and, where no token protects it, no other host's name (DNS rebinding).
   */
  private foreign(req: IncomingMessage): Refusal | undefined {
    const host = req.headers.host ?? '';
    const { origin } = req.headers;
    const own = `${this.opts.tls ? 'https' : 'http'}://${host}`;
    if (origin !== undefined && origin !== own)
      return { status: 403, message: 'the control API does not answer to other origins' };
    if (this.digest === undefined && !LOCAL_NAME.test(host))
      return { status: 403, message: 'the control API answers on this machine only' };
    return undefined;
  }

  private unknown(req: IncomingMessage, from: string): Refusal | undefined {
    if (this.digest === undefined) return undefined;
    // A health check on this machine learns nothing but whether the stack is up.
    if (req.method === 'GET' && req.url === '/health' && LOCAL_ADDRESS.test(from)) return undefined;
    const given = /^Bearer (\S+)$/i.exec(req.headers.authorization ?? '')?.[1];
    // Digests are of one length, and compared in constant time.
    if (given !== undefined && timingSafeEqual(sha256(given), this.digest)) return undefined;
    const what = given === undefined ? 'the control API wants a token' : 'this is not the token of the control API';
    return {
      status: 401,
      message: `${what}: skbus --token-file FILE, or Authorization: Bearer TOKEN`,
      headers: { 'www-authenticate': 'Bearer realm="skbus"' },
    };
  }

  /** A connection for which there was no place any more; it was closed. */
  dropped(from: string | undefined, max: number): void {
    this.note(`${max} connections are open`, from);
  }

  private note(why: string, from = 'somebody'): void {
    this.unsaid++;
    const now = this.opts.now();
    if (now - this.saidAt < SAY_EVERY_MS) return;
    this.opts.say(`skbus: control API: refused ${this.unsaid}, the last one from ${from}: ${why}`);
    this.saidAt = now;
    this.unsaid = 0;
  }
}

function tooLong(req: IncomingMessage): Refusal | undefined {
  const path = (req.url ?? '').split('?')[0];
  const max = path === '/faults/replay' || path === '/faults' ? LOG_MAX_BYTES : BODY_MAX_BYTES;
  const { 'content-length': length, 'transfer-encoding': encoding } = req.headers;
  if (encoding !== undefined) return { status: 411, message: 'a body comes with its Content-Length' };
  if (Number(length ?? 0) > max) return { status: 413, message: `a body here has at most ${max} bytes` };
  return undefined;
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
