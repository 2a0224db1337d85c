import { readFileSync } from 'node:fs';
import { UnixDoor } from '@skbus/net';
import { SeededRng } from '@skbus/skb';
import { ProxyCollection, realWorld, serveToxiproxy, type SeamRules, type ToxiproxyServer } from '@skbus/toxiproxy';
import { Api, ApiError } from '../api-client.ts';
import type { AddrRow } from '../format/ip-format.ts';
import { CliError, UsageError } from '../errors.ts';
import { intOption } from '../options.ts';
import { say } from '../output.ts';

export interface ToxiproxyOptions {
  stack?: string;
  port: string;
  host: string;
  config?: string;
  seams: boolean;
  seed?: string;
}

/** Serves Toxiproxy's API until it is told to stop; then its proxies and what it has set at seams are gone. */
export async function toxiproxy(o: ToxiproxyOptions): Promise<void> {
  const port = intOption('--port', o.port, 0, 65_535);
  const seed = o.seed === undefined ? undefined : intOption('--seed', o.seed, 0, 2 ** 32 - 1);
  const proxies = o.config === undefined ? undefined : readConfig(o.config);
  const api = new Api(o.stack);
  const { sock, stack } = await api.get<{ sock: string; stack: string }>('/status');
  const addrs = await api.get<AddrRow[]>('/addr');
  // 127.0.0.1 is this machine's, not the loopback of the stack
  const addresses = addrs.map((a) => a.local).filter((a) => !a.startsWith('127.'));
  const world = realWorld({ door: new UnixDoor(sock), addresses, ...chanceOf(seed) });
  const collection = new ProxyCollection(world, o.seams ? rulesOf(api, seed) : undefined);
  const server = await serve(collection, port, o.host);
  say(`Toxiproxy API for stack ${stack} at ${server.url}`);
  try {
    if (proxies !== undefined) await populate(collection, proxies);
    await new Promise<void>((stop) => {
      for (const sig of ['SIGINT', 'SIGTERM'] as const) process.once(sig, stop);
    });
  } finally {
    await server.close();
  }
}

async function serve(c: ProxyCollection, port: number, host: string): Promise<ToxiproxyServer> {
  try {
    return await serveToxiproxy(c, port, host);
  } catch (e) {
    const { code, message } = e as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE') throw new CliError(`the Toxiproxy API cannot listen on ${host}:${port}: ${message}`);
    throw new CliError(`port ${port} on ${host} is in use: stop what listens there, or choose another with --port`);
  }
}

async function populate(c: ProxyCollection, list: unknown): Promise<void> {
  const { proxies, failed } = await c.populate(list);
  for (const p of proxies) say(`${p.name}: ${p.listen} → ${p.upstream}`);
  if (failed !== undefined) throw new CliError(failed.message);
}

function readConfig(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (e) {
    throw new UsageError(`--config ${file}: ${(e as Error).message}`);
  }
}

/** What decides by chance: toxicity, jitter, sizes. The same seed and the same connections, the same decisions. */
function chanceOf(seed: number | undefined): { random?: () => number } {
  if (seed === undefined) return {};
  const rng = new SeededRng(seed);
  return { random: () => rng.u32() / 2 ** 32 };
}

/** Each rule throws dice of its own (FNV-1a of its id). */
const seedOf = (seed: number, id: string): number =>
  Array.from(id).reduce((h, c) => Math.imul(h ^ c.charCodeAt(0), 16_777_619) >>> 0, (seed ^ 2_166_136_261) >>> 0);

/** Toxics of seams are fault rules like any other: `skbus fault ls` shows them. */
const rulesOf = (api: Api, seed: number | undefined): SeamRules => ({
  set: async (id, text) =>
    void (await api.send('POST', '/faults', {
      id,
      text: seed === undefined ? text : `${text} seed ${seedOf(seed, id)}`,
    })),
  ids: async () => (await api.get<{ id: string }[]>('/faults')).map((r) => r.id),
  remove: async (id) => {
    try {
      await api.send('DELETE', `/faults/${id}`);
    } catch (e) {
      if (!(e instanceof ApiError && e.status === 404)) throw e;
    }
  },
});
