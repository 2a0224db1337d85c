import type { FilterError } from '../filter/filter.ts';
import type { Distribution, NetemLoss, NetemSlot, NetemSpec } from './spec.ts';
import { NETEM_LIMIT_DEFAULT } from './spec.ts';
import { parseInteger, parsePercent, parseRate, parseSize, parseTime } from './units.ts';

/** Where in the text it went wrong, like a filter's; formatFilterError() prints it. */
export type NetemError = FilterError;

export type ParsedNetem = { spec: NetemSpec; error?: undefined } | { spec?: undefined; error: NetemError };

/** The words that begin an option. */
export const NETEM_WORDS = [
  'limit',
  'delay',
  'latency',
  'distribution',
  'loss',
  'drop',
  'ecn',
  'duplicate',
  'reorder',
  'gap',
  'corrupt',
  'rate',
  'slot',
  'seed',
] as const;

/** tc-netem(8): options in any order, as iproute2's tc/q_netem.c reads and refuses them. Each once. */
export function parseNetem(text: string): ParsedNetem {
  try {
    return { spec: new NetemParser(text).parse() };
  } catch (e) {
    if (e instanceof NetemFailure)
      return { error: { column: e.word.column, length: e.word.length, message: e.message } };
    throw e;
  }
}

interface Word {
  text: string;
  column: number;
  length: number;
}

class NetemFailure extends Error {
  readonly word: Word;

  constructor(word: Word, message: string) {
    super(message);
    this.name = 'NetemFailure';
    this.word = word;
  }
}

const DISTRIBUTIONS: readonly Distribution[] = ['uniform', 'normal', 'pareto', 'paretonormal'];
const U32_MAX = 0xffffffff;
const S32_MAX = 0x7fffffff;

class NetemParser {
  private readonly words: readonly Word[];
  private readonly end: Word;
  private at = 0;
  private readonly spec: NetemSpec = { limit: NETEM_LIMIT_DEFAULT };
  /** Which options there were, by their first word. */
  private readonly seen = new Map<string, Word>();
  private gap: number | undefined = undefined;
  private distribution: Distribution | undefined = undefined;

  constructor(text: string) {
    this.words = [...text.matchAll(/\S+/g)].map((m) => ({ text: m[0], column: m.index, length: m[0].length }));
    this.end = { text: '', column: text.trimEnd().length, length: 1 };
  }

  parse(): NetemSpec {
    while (this.at < this.words.length) this.option();
    this.check();
    return this.spec;
  }

  private option(): void {
    const word = this.words[this.at++]!;
    const name = SAME[word.text] ?? word.text;
    const read = this.options[name];
    if (read === undefined)
      throw new NetemFailure(word, `'${word.text}' is no option; there are ${NETEM_WORDS.join(', ')}`);
    if (this.seen.has(name)) throw new NetemFailure(word, `${name} is there twice`);
    this.seen.set(name, word);
    read();
  }

  private readonly options: Readonly<Record<string, () => void>> = {
    limit: () => {
      this.spec.limit = this.need('a number of packets', parseSize);
    },
    delay: () => {
      const delayMs = this.need('a time like 100ms', delayTime);
      const jitterMs = this.maybe('a time like 20ms', delayTime);
      const correlation = jitterMs === undefined ? undefined : this.percentMaybe();
      this.spec.delay = { delayMs, jitterMs: jitterMs ?? 0, correlation: correlation ?? 0, distribution: 'uniform' };
    },
    distribution: () => {
      this.distribution = this.distributionName();
    },
    loss: () => {
      this.spec.loss = this.loss();
    },
    ecn: () => {
      this.spec.ecn = true;
    },
    duplicate: () => {
      this.spec.duplicate = this.chance();
    },
    reorder: () => {
      this.spec.reorder = { ...this.chance(), gap: 1 };
    },
    gap: () => {
      this.gap = this.need('a number of packets', (t) => parseInteger(t, 0, U32_MAX));
    },
    corrupt: () => {
      this.spec.corrupt = this.chance();
    },
    rate: () => this.rate(),
    slot: () => {
      this.spec.slot = this.slot();
    },
    seed: () => {
      this.spec.seed = this.need('a number below 2^32', (t) => parseInteger(t, 0, U32_MAX));
    },
  };

  private rate(): void {
    const word = this.words[this.at];
    if (word?.text.endsWith('%'))
      throw new NetemFailure(word, 'a share of the device’s speed: a seam has none, so write a rate like 10mbit');
    const bytesPerSec = this.need('a rate like 10mbit or 1kbps (bytes)', parseRate);
    const signed = (t: string) => parseInteger(t, -S32_MAX, S32_MAX);
    const packetOverhead = this.signedMaybe('bytes of overhead', signed);
    const cellSize = this.maybe('bytes in a cell', (t) => parseInteger(t, 0, U32_MAX));
    const cellOverhead = this.signedMaybe('bytes of overhead for each cell', signed);
    this.spec.rate = {
      bytesPerSec,
      packetOverhead: packetOverhead ?? 0,
      cellSize: cellSize ?? 0,
      cellOverhead: cellOverhead ?? 0,
    };
  }

  private loss(): NetemLoss {
    const word = this.words[this.at] ?? this.end;
    if (/^\d/.test(word.text)) return { model: 'random', ...this.chance() };
    this.at++;
    switch (word.text) {
      case 'random':
        return { model: 'random', ...this.chance() };
      case 'state':
        return this.state();
      case 'gemodel':
        return this.gemodel();
      default:
        throw new NetemFailure(word, 'loss needs a share like 1%, or random, state or gemodel');
    }
  }

  /** What is not given makes the model simpler (q_netem.c): p13 alone loses each packet with that probability. */
  private state(): NetemLoss {
    const first = this.words[this.at] ?? this.end;
    const p13 = this.percent();
    const [p31, p32, p23, p14] = this.more(4);
    const model = { model: 'state' as const, p13, p31: p31 ?? 1 - p13, p32: p32 ?? 0, p23: p23 ?? 1, p14: p14 ?? 0 };
    if (model.p13 + model.p14 > 1)
      throw new NetemFailure(first, 'p13 and p14 leave the same state: together at most 100%');
    if (model.p31 + model.p32 > 1)
      throw new NetemFailure(first, 'p31 and p32 leave the same state: together at most 100%');
    return model;
  }

  private gemodel(): NetemLoss {
    const p = this.percent();
    const [r, lossBad, lossGood] = this.more(3);
    return { model: 'gemodel', p, r: r ?? 1 - p, lossBad: lossBad ?? 1, lossGood: lossGood ?? 0 };
  }

  private slot(): NetemSlot {
    const at = this.words[this.at] ?? this.end;
    let every: NetemSlot['every'];
    if (at.text === 'distribution') {
      this.at++;
      const distribution = this.distributionName();
      const delayMs = this.need('a time like 10ms', slotTime);
      const jitter = this.words[this.at] ?? this.end;
      const jitterMs = this.need('a jitter like 1ms', slotTime);
      if (jitterMs <= 0) throw new NetemFailure(jitter, 'the jitter of a distribution is more than 0');
      every = { distribution, delayMs, jitterMs };
    } else {
      const minMs = this.need('a time like 10ms, or distribution', slotTime);
      const max = this.words[this.at] ?? this.end;
      const maxMs = this.maybe('a time like 20ms', slotTime) ?? minMs;
      if (maxMs < minMs) throw new NetemFailure(max, 'a slot’s greatest time is not below its least');
      every = { minMs, maxMs };
    }
    const packets = this.after('packets', 'a number of packets', (t) => parseInteger(t, 0, S32_MAX));
    const bytes = this.after('bytes', 'a number of bytes', parseSize);
    return { every, packets: packets ?? 0, bytes: bytes ?? 0 };
  }

  /** A word with a value, if it comes next. */
  private after(word: string, wanted: string, read: (text: string) => number | undefined): number | undefined {
    if (this.words[this.at]?.text !== word) return undefined;
    this.at++;
    return this.need(wanted, read);
  }

  /** Options that go together. */
  private check(): void {
    const { spec, seen } = this;
    if (spec.reorder && spec.reorder.p > 0) {
      if (!spec.delay?.delayMs)
        throw new NetemFailure(
          seen.get('reorder')!,
          'reorder lets some go ahead of those that are delayed: it needs a delay',
        );
      spec.reorder.gap = this.gap || 1;
    } else if (this.gap) {
      throw new NetemFailure(seen.get('gap')!, 'gap says which packets reorder may take: it needs reorder');
    }
    if (spec.ecn && (spec.loss === undefined || (spec.loss.model === 'random' && spec.loss.p === 0)))
      throw new NetemFailure(seen.get('ecn')!, 'ecn marks instead of losing: it needs loss');
    if (this.distribution === undefined) return;
    if (!spec.delay?.delayMs || !spec.delay.jitterMs)
      throw new NetemFailure(
        seen.get('distribution')!,
        'a distribution is that of the jitter: it needs a delay with jitter',
      );
    spec.delay.distribution = this.distribution;
  }

  private distributionName(): Distribution {
    const word = this.words[this.at] ?? this.end;
    const name = DISTRIBUTIONS.find((d) => d === word.text);
    if (name === undefined) throw new NetemFailure(word, `a distribution is one of ${DISTRIBUTIONS.join(', ')}`);
    this.at++;
    return name;
  }

  private chance(): { p: number; correlation: number } {
    const p = this.percent();
    return { p, correlation: this.percentMaybe() ?? 0 };
  }

  private more(n: number): (number | undefined)[] {
    return Array.from({ length: n }, () => this.percentMaybe());
  }

  private percent = (): number => this.need('a share like 0.1%, at most 100%', parsePercent);
  private percentMaybe = (): number | undefined => this.maybe('a share like 25%, at most 100%', parsePercent);

  private need(wanted: string, read: (text: string) => number | undefined): number {
    const word = this.words[this.at] ?? this.end;
    const value = read(word.text);
    if (value === undefined)
      throw new NetemFailure(word, `${wanted} is wanted here${word === this.end ? '' : `, not '${word.text}'`}`);
    this.at++;
    return value;
  }

  /** As tc decides it: what begins with a digit belongs to the option before it. */
  private maybe(wanted: string, read: (text: string) => number | undefined, next = /^\d/): number | undefined {
    return next.test(this.words[this.at]?.text ?? '') ? this.need(wanted, read) : undefined;
  }

  private signedMaybe(wanted: string, read: (text: string) => number | undefined): number | undefined {
    return this.maybe(wanted, read, /^[-\d]/);
  }
}

const SAME: Readonly<Record<string, string>> = { latency: 'delay', drop: 'loss' };
const delayTime = (text: string) => parseTime(text, 'delay');
const slotTime = (text: string) => parseTime(text, 'slot');
