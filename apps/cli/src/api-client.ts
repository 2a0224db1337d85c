import { request as plain, type IncomingMessage } from 'node:http';
import { request as secure } from 'node:https';
import { createInterface } from 'node:readline';
import { CliError } from './errors.ts';
import { apiAccess, type ApiAccess } from './stacks.ts';

/** The control API refused; `errno` where a service did. */
export class ApiError extends CliError {
  override name = 'ApiError';
  readonly status: number;
  readonly errno: number;
  readonly strerror: string;

  constructor(status: number, body: { message?: string | string[]; errno?: number; strerror?: string }) {
    super([body.message ?? `the control API answered ${status}`].flat().join('; '));
    this.status = status;
    this.errno = body.errno ?? 0;
    this.strerror = body.strerror ?? '';
  }
}

/** HTTP to a stack's control API. Nothing but node:http, so that a command starts fast. */
export class Api {
  readonly url: string;
  private readonly access: ApiAccess;

  constructor(stack: string | undefined) {
    this.access = apiAccess(stack);
    this.url = this.access.url;
  }

  get<T>(path: string, timeoutMs = 15_000): Promise<T> {
    return this.call<T>('GET', path, undefined, timeoutMs);
  }

  send<T>(method: 'POST' | 'DELETE' | 'PATCH' | 'PUT', path: string, body?: unknown, timeoutMs = 15_000): Promise<T> {
    return this.call<T>(method, path, body, timeoutMs);
  }

  /** Calls back for each line of an endless answer; resolves when it ends. `stop` ends it. */
  async lines(path: string, onRow: (row: unknown) => void, stop?: AbortSignal): Promise<void> {
    const res = await this.open('GET', path, undefined, stop);
    if (res.statusCode !== 200) throw new ApiError(res.statusCode ?? 0, parse(await text(res)) as object);
    try {
      for await (const line of createInterface({ input: res, crlfDelay: Number.POSITIVE_INFINITY })) {
        if (line !== '') onRow(JSON.parse(line));
      }
    } catch (e) {
      if (!stop?.aborted) throw e;
    }
  }

  private async call<T>(method: string, path: string, body: unknown, timeoutMs: number): Promise<T> {
    const res = await this.open(method, path, body, AbortSignal.timeout(timeoutMs));
    const answer = parse(await text(res));
    if ((res.statusCode ?? 0) >= 400) throw new ApiError(res.statusCode!, answer as object);
    return answer as T;
  }

  private open(method: string, path: string, body: unknown, signal: AbortSignal | undefined): Promise<IncomingMessage> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const headers: Record<string, string | number> = { accept: 'application/json' };
    if (payload !== undefined) {
      headers['content-type'] = 'application/json';
      headers['content-length'] = Buffer.byteLength(payload);
    }
    const { token, ca } = this.access;
    if (token !== undefined) headers.authorization = `Bearer ${token}`;
    return new Promise((resolve, reject) => {
      const options = { method, headers, agent: false as const, ...(signal ? { signal } : {}) };
      const to = new URL(path, this.url);
      const req =
        to.protocol === 'https:'
          ? secure(to, ca === undefined ? options : { ...options, ca }, resolve)
          : plain(to, options, resolve);
      req.once('error', (e: NodeJS.ErrnoException) => reject(new CliError(whyNot(this.url, e))));
      req.end(payload);
    });
  }
}

function whyNot(url: string, e: NodeJS.ErrnoException): string {
  const code = e.code ?? '';
  if (/SELF_SIGNED|UNABLE_TO_(VERIFY|GET)/.test(code))
    return `the certificate of ${url} is signed by nobody known here: give the stack's own with --ca FILE`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `the certificate of ${url} is for another name: ${e.message}`;
  if (code === 'EPROTO') return `${url} does not speak TLS: ${e.message.split('\n')[0]}`;
  // A server that speaks TLS hangs up on a plain request.
  const hint = code === 'ECONNRESET' && url.startsWith('http:') ? '; perhaps it wants https' : '';
  return `the control API at ${url} does not answer: ${e.message}${hint}`;
}

async function text(res: IncomingMessage): Promise<string> {
  let s = '';
  res.setEncoding('utf8');
  for await (const chunk of res) s += chunk as string;
  return s;
}

function parse(s: string): unknown {
  try {
    return s === '' ? {} : JSON.parse(s);
  } catch {
    return { message: s.slice(0, 200) };
  }
}
