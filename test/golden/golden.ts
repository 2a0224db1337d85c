import { LAYERS } from '@skbus/contracts';
import { TRACEPOINTS } from '@skbus/skb';
import type { Host } from '@skbus/sim';
import type { TraceHit } from '@skbus/sim';

/** Ends of skbs and housekeeping: no part of the paths in the kernel's call graphs. */
const ASIDE: ReadonlySet<string> = new Set(['consume_skb', 'neigh_periodic_work']);

/** What a host passed since the last call, `layer point`, in order. */
export function passed(host: Host, only: (hit: TraceHit) => boolean = () => true): string[] {
  const hits = host.hits.splice(0);
  return hits.filter((h) => !ASIDE.has(h.point) && only(h)).map((h) => `${h.layer} ${h.point}`);
}

/** The points of one skb, from layer to layer. */
export const ofSkb =
  (id: number) =>
  (hit: TraceHit): boolean =>
    hit.skb === id;

/**
 * A path as text: names of trace points in order, each layer's after its name and a colon; `//` begins a comment. A
 * name that is no trace point is an error.
 */
export function path(strings: TemplateStringsArray, ...parts: string[]): string[] {
  const out: string[] = [];
  let layer = '';
  for (const line of String.raw({ raw: strings }, ...parts).split('\n')) {
    for (const word of line.replace(/\/\/.*/, '').split(/\s+/)) {
      if (word === '') continue;
      if (word.endsWith(':')) {
        layer = word.slice(0, -1);
        if (!(LAYERS as readonly string[]).includes(layer)) throw new Error(`no layer ${layer}`);
      } else if (word in TRACEPOINTS) out.push(`${layer} ${word}`);
      else throw new Error(`no trace point ${word}`);
    }
  }
  return out;
}
