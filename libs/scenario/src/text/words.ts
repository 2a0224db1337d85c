import { parseMillis } from '@skbus/fault';
import { TextFailure } from './failure.ts';

export interface Word {
  text: string;
  column: number;
}

/** Reads a text word by word; what it throws says where. */
export class Words {
  readonly text: string;
  private readonly list: readonly Word[];
  private i = 0;

  constructor(text: string) {
    this.text = text;
    this.list = [...text.matchAll(/\S+/g)].map((m) => ({ text: m[0], column: m.index }));
  }

  peek(ahead = 0): string | undefined {
    return this.list[this.i + ahead]?.text;
  }

  /** Whether the next word is this one; then it is taken. */
  eat(word: string): boolean {
    if (this.peek() !== word) return false;
    this.i++;
    return true;
  }

  next(expected: string): Word {
    const w = this.list[this.i];
    if (w === undefined)
      throw new TextFailure(this.text.trimEnd().length, `here the text ends: ${expected} is missing`);
    this.i++;
    return w;
  }

  /** All that is left, as it stands. */
  rest(expected: string): Word {
    const w = this.next(expected);
    this.i = this.list.length;
    return { text: this.text.slice(w.column).trimEnd(), column: w.column };
  }

  /** Nothing may be left. */
  end(): void {
    const w = this.list[this.i];
    if (w !== undefined) throw new TextFailure(w.column, `"${w.text}" is one word too many`);
  }

  /** The next word, where it is one of these. */
  maybe<T extends string>(names: readonly T[]): T | undefined {
    const found = names.find((n) => n === this.peek());
    if (found !== undefined) this.i++;
    return found;
  }

  time(expected: string): number {
    const w = this.next(expected);
    return parseMillis(w.text) ?? wrong(w, 'is no time: write 500ms or 2s');
  }

  size(expected: string): number {
    const w = this.next(expected);
    return parseSize(w.text) ?? wrong(w, 'is no size: write 1500, 200kB or 10MB');
  }

  count(expected: string, max: number): number {
    const w = this.next(expected);
    const n = Number(w.text);
    return /^\d+$/.test(w.text) && n >= 1 && n <= max ? n : wrong(w, `is no number from 1 to ${max}`);
  }

  name<T extends string>(expected: string, names: readonly T[]): T {
    const w = this.next(`${expected}: ${names.join(', ')}`);
    return names.find((n) => n === w.text) ?? wrong(w, `is no ${expected}: ${names.join(', ')}`);
  }
}

export function wrong(w: Word, what: string): never {
  throw new TextFailure(w.column, `"${w.text}" ${what}`);
}

const SIZES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
};

/** `1500`, `200kB`, `1.5MB`, `1MiB` */
export function parseSize(text: string): number | undefined {
  const m = /^(\d+(?:\.\d+)?)([a-z]*)$/i.exec(text);
  const unit = m === null ? undefined : SIZES[m[2]!.toLowerCase()];
  return unit === undefined ? undefined : Math.round(Number(m![1]) * unit);
}

/** tc's rates: `10mbit`, `512kbit`, `1gbit`. */
export function parseRate(text: string): number | undefined {
  const m = /^(\d+(?:\.\d+)?)(k|m|g)?bit$/i.exec(text);
  if (m === null) return undefined;
  return Number(m[1]) * ({ k: 1e3, m: 1e6, g: 1e9 }[(m[2] ?? '').toLowerCase()] ?? 1);
}
