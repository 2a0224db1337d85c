import {
  formatFtrace,
  formatJsonLine,
  formatPwru,
  formatPwruHeader,
  type PrintedEvent,
  type PrintOptions,
} from '@skbus/trace';
import { Api } from '../api-client.ts';
import { UsageError } from '../errors.ts';
import type { LinkRow } from '../format/ip-format.ts';
import { intOption } from '../options.ts';
import { print, say } from '../output.ts';
import type { Status } from './status.ts';

interface Options {
  stack?: string;
  follow?: string;
  format: string;
  count?: string;
  json?: boolean;
}

/** Layers send what they saw every 20 ms, each for itself: lists are put in order before they are printed. */
const SETTLE_MS = 80;
/** A journey is printed as a tree once nothing was heard for this long. */
const QUIET_MS = 400;

export async function trace(o: Options): Promise<void> {
  const format = o.json ? 'json' : o.format;
  if (!['pwru', 'ftrace', 'json'].includes(format))
    throw new UsageError(`--format ${format}: expected pwru, ftrace or json`);
  const follow = o.follow === undefined ? 0 : skbId(o.follow);
  const count = o.count === undefined ? Number.POSITIVE_INFINITY : intOption('-c', o.count, 1, 1e9);
  const api = new Api(o.stack);
  const [{ stack }, links] = await Promise.all([
    api.get<Status>('/status'),
    api.get<LinkRow[]>('/link').catch(() => []),
  ]);
  const opts: PrintOptions = {
    netns: stack,
    ifname: (i) => links.find((l) => l.ifindex === i)?.name,
    mtuOf: (i) => links.find((l) => l.ifindex === i)?.mtu,
  };
  const stop = new AbortController();
  for (const sig of ['SIGINT', 'SIGTERM'] as const) process.once(sig, () => stop.abort());
  const sorter = new Sorter(printer(format, opts), format === 'ftrace' ? QUIET_MS : SETTLE_MS, count, () =>
    stop.abort(),
  );
  if (format === 'pwru') print(formatPwruHeader(opts));
  await api.lines(`/trace?follow=${follow}`, (row) => sorter.add(row as PrintedEvent & { lost?: number }), stop.signal);
  sorter.flush();
}

function printer(format: string, opts: PrintOptions): (events: readonly PrintedEvent[]) => void {
  if (format === 'json') return (events) => events.forEach((e) => print(formatJsonLine(e, opts)));
  if (format === 'pwru') return (events) => events.forEach((e) => print(formatPwru(e, opts)));
  let first = true;
  return (events) => {
    const lines = formatFtrace(events, opts);
    for (const line of first ? lines : lines.filter((l) => !l.startsWith('#'))) print(line);
    first = false;
  };
}

class Sorter {
  private events: PrintedEvent[] = [];
  private timer: NodeJS.Timeout | undefined = undefined;
  private readonly show: (events: readonly PrintedEvent[]) => void;
  private readonly waitMs: number;
  private left: number;
  private readonly done: () => void;

  constructor(show: (events: readonly PrintedEvent[]) => void, waitMs: number, count: number, done: () => void) {
    this.show = show;
    this.waitMs = waitMs;
    this.left = count;
    this.done = done;
  }

  add(row: PrintedEvent & { lost?: number }): void {
    if (row.point === undefined || row.point === null) {
      if (row.lost) say(`skbus: ${row.lost} events lost: they came faster than they could be carried`);
      return;
    }
    this.events.push(row);
    this.timer ??= setTimeout(() => this.flush(), this.waitMs);
  }

  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const sorted = this.events.toSorted((a, b) => (a.timeMs ?? 0) - (b.timeMs ?? 0)).slice(0, this.left);
    this.events = [];
    if (sorted.length === 0) return;
    this.left -= sorted.length;
    this.show(sorted);
    if (this.left <= 0) this.done();
  }
}

/** An skb id as the formats print it: `0x10000a2f`, or a plain number. */
function skbId(text: string): number {
  const n = Number(text);
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(text) || n < 1 || n > 0xffff_ffff)
    throw new UsageError(`--follow ${text}: expected the id of an skb, such as 0x10000a2f`);
  return n;
}
