/** For tests of programs over a running stack: break one layer in one way, see who notices. Talks to the control API. */

/** How often a rule matched and hits, by `skbus fault ls`. */
export interface FaultCounters {
  matched: number;
  hits: number;
}

export class StackRequestError extends Error {
  override name = 'StackRequestError';
}

/** The stack whose control API is at `api`; SKBUS_API, or the default port. */
export const stack = (api = process.env.SKBUS_API || 'http://127.0.0.1:7070'): StackClient => new StackClient(api);

export class StackClient {
  private readonly api: string;

  constructor(api: string) {
    this.api = api;
  }

  /** A rule in the making: `await stack().fault('tcp').ingress().match('tcp.flags.syn == 1').drop().first(2)`. */
  fault(layer: string): FaultRuleBuilder {
    return new FaultRuleBuilder(this, layer);
  }

  /** A rule by its text, as `skbus fault add` takes it (docs/FAULTS.md). */
  async addFault(text: string): Promise<AddedFault> {
    const { id } = (await this.request('POST', '/faults', { text })) as { id: string };
    return new AddedFault(this, id);
  }

  /** No rule is left; what waited in them goes on. */
  async clearFaults(): Promise<void> {
    await this.request('DELETE', '/faults');
  }

  /** Rejects with StackRequestError: what the API says is wrong, or that there is none. */
  async request(method: string, path: string, body?: unknown): Promise<unknown> {
    let r: Response;
    try {
      r = await fetch(`${this.api}${path}`, {
        method,
        ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      });
    } catch (e) {
      throw new StackRequestError(`no stack answers at ${this.api}; is one up? ("skbus status")`, { cause: e });
    }
    const text = await r.text();
    if (!r.ok) throw new StackRequestError(messageOf(text) ?? `${method} ${path}: ${r.status}`);
    return text === '' ? undefined : JSON.parse(text);
  }
}

/** A rule that is in force. */
export class AddedFault {
  readonly id: string;
  private readonly client: StackClient;

  constructor(client: StackClient, id: string) {
    this.client = client;
    this.id = id;
  }

  async counters(): Promise<FaultCounters> {
    const r = (await this.client.request('GET', `/faults/${this.id}`)) as FaultCounters;
    return { matched: r.matched, hits: r.hits };
  }

  async remove(): Promise<void> {
    await this.client.request('DELETE', `/faults/${this.id}`);
  }
}

/** Collects the words of a rule; awaited, it is added. */
export class FaultRuleBuilder implements PromiseLike<AddedFault> {
  private readonly client: StackClient;
  private readonly layer: string;
  private at = '';
  private dir = '';
  private filter = '';
  private action = '';
  private readonly limits: string[] = [];

  constructor(client: StackClient, layer: string) {
    this.client = client;
    this.layer = layer;
  }

  /** On the way from the cable to the program. */
  ingress(): this {
    this.dir = ' rx';
    return this;
  }

  egress(): this {
    this.dir = ' tx';
    return this;
  }

  /** Where the layer hands over: a kernel function, `sk_cmd`, `ctl.route_query`. */
  func(name: string): this {
    this.at = `.${name}`;
    return this;
  }

  /** A display filter. */
  match(filter: string): this {
    this.filter = ` match '${filter.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
    return this;
  }

  drop(reason = ''): this {
    return this.does(`drop ${reason}`.trim());
  }

  /** tc-netem's words: `delay 100ms 20ms loss 1%`. */
  netem(spec: string): this {
    return this.does(spec);
  }

  truncate(bytes: number): this {
    return this.does(`truncate ${bytes}`);
  }

  set(fields: Readonly<Record<string, string | number>>, csum: 'fix' | 'keep' = 'fix'): this {
    const words = Object.entries(fields).map(([k, v]) => `${k}=${v}`);
    return this.does(`set ${words.join(' ')} csum ${csum}`);
  }

  hold(): this {
    return this.does('hold');
  }

  nth(...n: number[]): this {
    return this.limit(`nth ${n.join(',')}`);
  }

  first(n: number): this {
    return this.limit(`first ${n}`);
  }

  every(n: number): this {
    return this.limit(`every ${n}`);
  }

  /** 0 to 1 */
  probability(p: number): this {
    return this.limit(`probability ${p}`);
  }

  afterMs(ms: number): this {
    return this.limit(`after ${ms}ms`);
  }

  forMs(ms: number): this {
    return this.limit(`for ${ms}ms`);
  }

  oncePerConnection(): this {
    return this.limit('once per connection');
  }

  seed(n: number): this {
    return this.limit(`seed ${n}`);
  }

  /** As `skbus fault add` would take it. */
  get text(): string {
    return `at ${this.layer}${this.at}${this.dir}${this.filter} ${[this.action, ...this.limits].join(' ')}`.trim();
  }

  // oxlint-disable-next-line unicorn/no-thenable -- `await` is what adds it
  then<A = AddedFault, B = never>(
    done?: ((added: AddedFault) => A | PromiseLike<A>) | null,
    failed?: ((e: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.client.addFault(this.text).then(done, failed);
  }

  private does(action: string): this {
    this.action = action;
    return this;
  }

  private limit(words: string): this {
    this.limits.push(words);
    return this;
  }
}

function messageOf(text: string): string | undefined {
  try {
    const m = (JSON.parse(text) as { message?: unknown }).message;
    return typeof m === 'string' ? m : undefined;
  } catch {
    return undefined;
  }
}
