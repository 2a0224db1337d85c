import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { OpenTable } from './open-table.ts';

interface Entry {
  readonly id: number;
}
/** Few hashes, so that entries stand in each other's way, also around the end. */
class Table extends OpenTable<Entry> {
  get(id: number): Entry | undefined {
    const tag = OpenTable.tag(hash(id));
    const mask = this.tags.length - 1;
    for (let i = tag & mask; this.tags[i] !== 0; i = (i + 1) & mask) {
      if (this.tags[i] === tag && this.slots[i]!.id === id) return this.slots[i];
    }
    return undefined;
  }

  protected override hashOf(e: Entry): number {
    return hash(e.id);
  }
}
const hash = (id: number): number => 60 + (id % 7);

test('what was added and not removed is found, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(99)), { maxLength: 300 }), (steps) => {
      const table = new Table();
      const model = new Map<number, Entry>();
      for (const [add, id] of steps) {
        const known = model.get(id);
        if (add && known === undefined) {
          const e = { id };
          table.add(e);
          model.set(id, e);
        } else if (!add && known !== undefined) {
          expect(table.remove(known)).toBe(true);
          expect(table.remove(known)).toBe(false);
          model.delete(id);
        }
      }
      expect(table.size).toBe(model.size);
      const ids = Array.from({ length: 100 }, (_, id) => id);
      expect(ids.map((id) => table.get(id))).toEqual(ids.map((id) => model.get(id)));
      expect(new Set(table.entries())).toEqual(new Set(model.values()));
    }),
  );
});
