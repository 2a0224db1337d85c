import type { FilterField } from './field.ts';
import { HEADER_FIELDS } from './header-fields.ts';
import { OWN_FIELDS } from './own-fields.ts';
import { PROTOCOL_FIELDS } from './protocol-fields.ts';

export type * from './field.ts';

/** Every name there is, in the order of the headers. */
export const FILTER_FIELDS: readonly FilterField[] = [...PROTOCOL_FIELDS, ...HEADER_FIELDS, ...OWN_FIELDS];

const BY_NAME: ReadonlyMap<string, FilterField> = new Map(FILTER_FIELDS.map((f) => [f.name, f]));

export const filterField = (name: string): FilterField | undefined => BY_NAME.get(name);

/** Names that Wireshark has and we do not, or not in its meaning: said instead of "unknown". */
const ELSEWHERE: readonly (readonly [pattern: RegExp, why: string])[] = [
  [
    /^tcp\.seq$/,
    'Wireshark counts tcp.seq from the start of the connection, which a seam does not know: use tcp.seq_raw',
  ],
  [
    /^tcp\.ack$/,
    'Wireshark counts tcp.ack from the start of the connection, which a seam does not know: use tcp.ack_raw',
  ],
  [/^tcp\.nxtseq$/, 'a seam does not know the connection: use tcp.seq_raw and tcp.len'],
  [/^(tcp|udp)\.(stream|time_)/, 'a filter sees one packet and knows no streams: use addresses and ports, or sk.id'],
  [/^tcp\.(analysis|completeness)/, 'a filter sees one packet; what needs the others of its connection is not there'],
  [/^(frame\.(time|number)|.*\.time$)/, 'a filter sees one packet and knows no time: limits like after and nth do'],
  [/^(ipv6|icmpv6|vlan)\b/, 'this stack does not speak it'],
];

/** Why there is no field of this name, and which one might be meant. */
export function unknownField(name: string): string {
  const elsewhere = ELSEWHERE.find(([pattern]) => pattern.test(name));
  if (elsewhere) return elsewhere[1];
  const near = FILTER_FIELDS.map((f) => ({ name: f.name, far: distance(name.toLowerCase(), f.name) }))
    .filter((f) => f.far <= Math.max(1, Math.floor(name.length / 4)))
    .sort((a, b) => a.far - b.far)[0];
  return `there is no field '${name}'${near ? `; did you mean ${near.name}?` : ''}`;
}

/** Names that begin so, for completion. */
export const completeField = (prefix: string): readonly FilterField[] =>
  FILTER_FIELDS.filter((f) => f.name.startsWith(prefix));

/** Levenshtein's, by one row. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
