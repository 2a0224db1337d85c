import { describe, expect, test } from '@jest/globals';
import { maskOf } from '@skbus/skb';
import fc from 'fast-check';
import { FibTrie } from './fib-trie.ts';

interface Row {
  key: number;
  len: number;
  value: number;
}

/** The definition of longest-prefix match. */
const naive = (rows: readonly Row[], addr: number): Row[] =>
  rows.filter((r) => ((r.key ^ addr) & maskOf(r.len)) === 0).sort((a, b) => b.len - a.len);

/** Prefixes that share bits often, so that splits and joins happen. */
const prefix = fc
  .tuple(fc.constantFrom(0x0a000000, 0x0a4d0000, 0xc0a80000, 0), fc.nat(0xffff), fc.nat(32))
  .map(([net, low, len]) => ({ key: ((net | low) & maskOf(len)) >>> 0, len }));

describe('longest-prefix match', () => {
  test('equals the naive search after any adds and deletes, down to the shortest prefix', () => {
    const op = fc.record({ prefix, remove: fc.boolean(), value: fc.nat(1000) });
    fc.assert(
      fc.property(fc.array(op, { maxLength: 120 }), fc.array(fc.nat(0xffffffff), { maxLength: 20 }), (ops, addrs) => {
        const trie = new FibTrie<number>();
        const model = new Map<string, Row>();
        for (const { prefix: p, remove, value } of ops) {
          const id = `${p.key}/${p.len}`;
          if (remove) expect(trie.delete(p.key, p.len)).toBe(model.delete(id));
          else {
            trie.set(p.key, p.len, value);
            model.set(id, { ...p, value });
          }
          expect(trie.size).toBe(model.size);
        }
        const rows = [...model.values()];
        for (const addr of [...addrs, ...ops.map((o) => (o.prefix.key | 5) >>> 0)]) {
          const found: Row[] = [];
          for (let n = trie.match(addr); n !== undefined; n = n.shorter())
            found.push({ key: n.key, len: n.len, value: n.value! });
          expect(found).toEqual(naive(rows, addr));
        }
        const listed = trie.entries().map((n) => ({ key: n.key, len: n.len, value: n.value! }));
        expect(listed).toEqual(rows.sort((a, b) => a.key - b.key || b.len - a.len));
      }),
      { numRuns: 300 },
    );
  });

  test('an emptied trie matches nothing', () => {
    const trie = new FibTrie<number>();
    trie.set(0, 0, 1);
    trie.set(0x0a000000, 8, 2);
    trie.delete(0, 0);
    trie.delete(0x0a000000, 8);
    expect(trie.match(0x0a000001)).toBeUndefined();
    expect(trie.entries()).toEqual([]);
    expect(trie.delete(0, 0)).toBe(false);
    expect(trie.get(0, 0)).toBeUndefined();
  });
});
