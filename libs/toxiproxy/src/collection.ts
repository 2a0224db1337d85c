import { z } from 'zod';
import { ApiError, badBody, exists, missing, notFound } from './errors.ts';
import type { Proxy, ProxyView, World } from './proxy.ts';
import { SeamProxy, SEAMS, type SeamRules } from './seam-proxy.ts';
import { StreamProxy } from './stream-proxy.ts';
import { isToxicType, TOXIC_ATTRIBUTES, type Toxic, type ToxicType } from './toxics.ts';

const proxyBody = z.object({
  name: z.string().optional(),
  listen: z.string().optional(),
  upstream: z.string().optional(),
  enabled: z.boolean().optional(),
});
const toxicBody = z.object({
  name: z.string().optional(),
  type: z.string().optional(),
  stream: z.string().optional(),
  toxicity: z.number().min(0).max(1).optional(),
  attributes: z.record(z.string(), z.unknown()).optional(),
});
type ProxyBody = z.infer<typeof proxyBody>;

/** All proxies of one server: what the API does, apart from HTTP. One change at a time. */
export class ProxyCollection {
  private readonly world: World;
  private readonly rules: SeamRules | undefined;
  private readonly byName = new Map<string, Proxy>();
  private last: Promise<unknown> = Promise.resolve();

  /** Without `rules` there are no seams. */
  constructor(world: World, rules: SeamRules | undefined) {
    this.world = world;
    this.rules = rules;
    if (rules !== undefined) for (const s of SEAMS) this.insert(new SeamProxy(s, rules));
  }

  all(): Record<string, ProxyView> {
    return Object.fromEntries([...this.byName].map(([name, p]) => [name, p.view()]));
  }

  get(name: string): Proxy {
    const p = this.byName.get(name);
    if (p === undefined) throw notFound('proxy');
    return p;
  }

  create(body: unknown): Promise<ProxyView> {
    const b = read(proxyBody, body);
    return this.inTurn(() => this.make(b, '', false));
  }

  /** Those that are there already and are the same stay; what fails ends it, with what was made before in the answer. */
  populate(body: unknown): Promise<{ proxies: ProxyView[]; failed?: ApiError }> {
    const list = read(z.array(proxyBody), body);
    list.forEach((b, i) => {
      if (!b.name) throw missing('name', ` at proxy ${i + 1}`);
      if (!b.upstream) throw missing('upstream', ` at proxy ${i + 1}`);
    });
    return this.inTurn(async () => {
      const proxies: ProxyView[] = [];
      for (const b of list) {
        try {
          proxies.push(await this.make(b, '', true));
        } catch (e) {
          if (e instanceof ApiError) return { proxies, failed: e };
          throw e;
        }
      }
      return { proxies };
    });
  }

  change(name: string, body: unknown): Promise<ProxyView> {
    const { listen, upstream, enabled } = read(proxyBody, body);
    return this.inTurn(async () => {
      const p = this.get(name);
      await p.change({ listen: listen || undefined, upstream: upstream || undefined, enabled });
      return p.view();
    });
  }

  remove(name: string): Promise<void> {
    return this.inTurn(async () => {
      const p = this.get(name);
      await p.stop();
      if (!p.fixed) this.byName.delete(name);
    });
  }

  /** Everything enabled, and no toxic left. */
  reset(): Promise<void> {
    return this.inTurn(async () => {
      const all = [...this.byName.values()];
      for (const p of all) for (const t of [...p.toxics.keys()]) await p.removeToxic(t);
      // One that cannot listen is no reason to leave the others as they are.
      const enabled = await Promise.allSettled(all.map((p) => p.change({ enabled: true })));
      await this.sweep();
      for (const r of enabled) if (r.status === 'rejected') throw r.reason;
    });
  }

  /** Rules of toxics that nobody has any more: of a server that was killed. */
  private async sweep(): Promise<void> {
    const left = (await this.rules?.ids())?.filter((id) => SEAMS.some((s) => id.startsWith(`seam-${s}-`)));
    for (const id of left ?? []) await this.rules!.remove(id);
  }

  /** Ends all of it; what it has set at seams is taken away. */
  close(): Promise<void> {
    return this.inTurn(async () => {
      for (const p of this.byName.values()) await p.stop();
    });
  }

  toxics(proxy: string): Toxic[] {
    return [...this.get(proxy).toxics.values()];
  }

  toxic(proxy: string, name: string): Toxic {
    const t = this.get(proxy).toxics.get(name);
    if (t === undefined) throw notFound('toxic');
    return t;
  }

  addToxic(proxy: string, body: unknown): Promise<Toxic> {
    const b = read(toxicBody, body);
    return this.inTurn(async () => {
      const p = this.get(proxy);
      const type = b.type ?? '';
      const stream = b.stream || 'downstream';
      if (stream !== 'upstream' && stream !== 'downstream')
        throw new ApiError(400, 'stream was invalid, can be either upstream or downstream');
      if (!isToxicType(type)) throw new ApiError(400, 'invalid toxic type');
      const name = b.name || `${type}_${stream}`;
      if (p.toxics.has(name)) throw exists('toxic');
      const attributes = attributesOf(type, b.attributes ?? {});
      const toxic: Toxic = { attributes, name, type, stream, toxicity: b.toxicity ?? 1 };
      p.refuse(type, toxic);
      await p.setToxic(toxic);
      return toxic;
    });
  }

  /** What is not given stays as it is; its type and stream stay anyway. */
  changeToxic(proxy: string, name: string, body: unknown): Promise<Toxic> {
    const b = read(toxicBody, body);
    return this.inTurn(async () => {
      const old = this.toxic(proxy, name);
      const attributes = attributesOf(old.type, { ...old.attributes, ...b.attributes });
      const toxic: Toxic = { ...old, attributes, toxicity: b.toxicity ?? old.toxicity };
      const p = this.get(proxy);
      p.refuse(toxic.type, toxic);
      await p.setToxic(toxic);
      return toxic;
    });
  }

  removeToxic(proxy: string, name: string): Promise<void> {
    return this.inTurn(async () => {
      this.toxic(proxy, name);
      await this.get(proxy).removeToxic(name);
    });
  }

  private async make(b: ProxyBody, where: string, replace: boolean): Promise<ProxyView> {
    if (!b.name) throw missing('name', where);
    if (!b.upstream) throw missing('upstream', where);
    const old = this.byName.get(b.name);
    if (old?.fixed === true) {
      if (!replace) throw exists('proxy');
      await old.change(b);
      return old.view();
    }
    const listen = b.listen || 'localhost:0';
    if (old !== undefined) {
      if (!replace) throw exists('proxy');
      const { listen: at, upstream } = old.view();
      if (at === listen && upstream === b.upstream) {
        await old.change({ enabled: b.enabled ?? true });
        return old.view();
      }
      await old.stop();
      this.byName.delete(b.name);
    }
    const proxy = new StreamProxy(this.world, b.name, listen, b.upstream);
    await proxy.change({ enabled: b.enabled ?? true });
    this.insert(proxy);
    return proxy.view();
  }

  private insert(p: Proxy): void {
    this.byName.set(p.name, p);
  }

  private inTurn<T>(what: () => Promise<T>): Promise<T> {
    const now = this.last.then(what);
    this.last = now.catch(() => {});
    return now;
  }
}

const attributesOf = (type: ToxicType, given: Record<string, unknown>): Toxic['attributes'] =>
  read<Toxic['attributes']>(TOXIC_ATTRIBUTES[type] as z.ZodType<Toxic['attributes']>, given);

function read<T>(schema: z.ZodType<T>, body: unknown): T {
  const r = schema.safeParse(body);
  if (r.success) return r.data;
  const [first] = r.error.issues;
  throw badBody(`${first?.path.length ? `${first.path.join('.')}: ` : ''}${first?.message ?? 'wrong'}`);
}
