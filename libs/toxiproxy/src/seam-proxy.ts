import { ApiError } from './errors.ts';
import type { Proxy, ProxyChange, ProxyView } from './proxy.ts';
import type { Attributes, Toxic, ToxicType } from './toxics.ts';

/** Where the fault rules of a stack are set. */
export interface SeamRules {
  /** Rejects with one sentence when the stack refuses it. */
  set(id: string, text: string): Promise<void>;
  /** Does nothing when there is none. */
  remove(id: string): Promise<void>;
  /** The ids of all rules. */
  ids(): Promise<string[]>;
}

export const SEAMS = ['socket', 'tcp', 'udp', 'ip', 'neigh', 'nic'] as const;
export type SeamLayer = (typeof SEAMS)[number];

type Text<T extends ToxicType> = (a: Attributes<T>) => string;

const STREAMS_ONLY = 'a seam passes packets, which have no end and no size to cut at: add it to a proxy';

/** What a toxic is to packets, as a fault rule says it; a string that ends in a refusal where it is nothing. */
const RULES: { [T in ToxicType]: Text<T> | { refused: string } } = {
  latency: ({ latency, jitter }) => `delay ${latency}ms${jitter > 0 ? ` ${jitter}ms` : ''}`,
  bandwidth: ({ rate }) => `rate ${rate * 8}kbit`,
  timeout: ({ timeout }) => {
    if (timeout > 0)
      throw new ApiError(
        400,
        'timeout: a seam has no connection to close after a time: use timeout 0 and remove the toxic',
      );
    return 'drop';
  },
  packet_loss: ({ loss_rate: p, correlation: c }) => `loss ${percent(p)}${c > 0 ? ` ${percent(c)}` : ''}`,
  slow_close: { refused: STREAMS_ONLY },
  reset_peer: { refused: STREAMS_ONLY },
  slicer: { refused: STREAMS_ONLY },
  limit_data: { refused: STREAMS_ONLY },
};

/** The longest id that a rule may have. */
const ID_MAX = 64;

const percent = (p: number): string => `${Number((p * 100).toFixed(4))}%`;

/** The seam of one layer: upstream is what leaves it towards the cable or the program, tx; downstream what comes in, rx. */
export class SeamProxy implements Proxy {
  readonly name: string;
  readonly fixed = true;
  readonly toxics = new Map<string, Toxic>();
  private readonly layer: SeamLayer;
  private readonly rules: SeamRules;
  private enabled = true;
  /** Of the rules, by the toxics' names. */
  private readonly ids = new Map<string, string>();

  constructor(layer: SeamLayer, rules: SeamRules) {
    this.name = `seam-${layer}`;
    this.layer = layer;
    this.rules = rules;
  }

  view(): ProxyView {
    const { name, layer, enabled } = this;
    return {
      name,
      listen: `skbus:${layer}.rx`,
      upstream: `skbus:${layer}.tx`,
      enabled,
      toxics: [...this.toxics.values()],
    };
  }

  async change({ listen, upstream, enabled }: ProxyChange): Promise<void> {
    const now = this.view();
    if ((listen ?? now.listen) !== now.listen || (upstream ?? now.upstream) !== now.upstream)
      throw new ApiError(400, `${this.name} is a seam of the stack and cannot be led elsewhere`);
    if (enabled === undefined || enabled === this.enabled) return;
    for (const dir of ['rx', 'tx']) {
      const id = `${this.name}-${dir}-off`;
      if (enabled) await this.rules.remove(id);
      else await this.apply(id, `at ${this.layer} ${dir} drop`);
    }
    this.enabled = enabled;
  }

  refuse(type: ToxicType, t: Toxic): void {
    this.textOf(type, t);
  }

  async setToxic(t: Toxic): Promise<void> {
    try {
      await this.apply(this.idOf(t.name), this.textOf(t.type, t));
    } catch (e) {
      if (!this.toxics.has(t.name)) this.ids.delete(t.name);
      throw e;
    }
    this.toxics.set(t.name, t);
  }

  async removeToxic(name: string): Promise<void> {
    if (!this.toxics.delete(name)) return;
    await this.rules.remove(this.idOf(name));
    this.ids.delete(name);
  }

  async stop(): Promise<void> {
    for (const name of [...this.toxics.keys()]) await this.removeToxic(name);
    await this.change({ enabled: true });
  }

  private textOf(type: ToxicType, t: Toxic): string {
    const make = RULES[type];
    if (typeof make !== 'function') throw new ApiError(400, `${type}: ${make.refused}`);
    const what = (make as Text<ToxicType>)(t.attributes);
    const share = t.toxicity < 1 ? ` probability ${t.toxicity}` : '';
    return `at ${this.layer} ${t.stream === 'upstream' ? 'tx' : 'rx'} ${what}${share}`;
  }

  private idOf(name: string): string {
    const known = this.ids.get(name);
    if (known !== undefined) return known;
    const plain = `${this.name}-${name}`.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, ID_MAX);
    const taken = new Set([...this.ids.values(), `${this.name}-rx-off`, `${this.name}-tx-off`]);
    let id = plain;
    for (let n = 2; taken.has(id); n++) id = `${plain.slice(0, ID_MAX - 1 - String(n).length)}-${n}`;
    this.ids.set(name, id);
    return id;
  }

  private async apply(id: string, text: string): Promise<void> {
    try {
      await this.rules.set(id, text);
    } catch (e) {
      throw new ApiError(400, `${this.name}: "${text}": ${(e as Error).message}`);
    }
  }
}
