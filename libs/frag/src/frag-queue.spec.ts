import { expect, test } from '@jest/globals';
import { SkBuff } from '@skbus/skb';
import fc from 'fast-check';
import { FragQueue } from './frag-queue.ts';

test('new, duplicate or overlap: as a map of the bytes would say', () => {
  const piece = fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 8 }));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const q = new FragQueue('k', 1, 0, 0);
      const here = new Set<number>();
      for (const [offset, n] of pieces) {
        const bytes = Array.from({ length: n }, (_, i) => offset + i);
        const known = bytes.filter((b) => here.has(b)).length;
        const want = known === 0 ? 'new' : known === n ? 'duplicate' : 'overlap';
        expect(q.insert({ offset, end: offset + n, skb: SkBuff.alloc(0, 0) })).toBe(want);
        if (want === 'new') for (const b of bytes) here.add(b);
        expect(q.meat).toBe(here.size);
        const offsets = q.fragments.map((f) => f.offset);
        expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
      }
    }),
    { numRuns: 500 },
  );
});
