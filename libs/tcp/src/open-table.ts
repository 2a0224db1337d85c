const MIN_SIZE = 64;
/** Marks a place as taken, so that no tag is 0. */
const TAKEN = 0x80000000 | 0;

/**
 * A hash table with open addressing and linear probing. The hashes stand by themselves, so that a lookup touches one
 * line of them and then, nearly always, only the entry that it wants.
 */
export abstract class OpenTable<T> {
  protected tags = new Int32Array(MIN_SIZE);
  protected slots: (T | undefined)[] = Array.from<T | undefined>({ length: MIN_SIZE });
  size = 0;

  /** 31 bits. */
  protected abstract hashOf(entry: T): number;

  add(entry: T): void {
    if (2 * this.size >= this.tags.length) this.rehash(2 * this.tags.length);
    const tag = this.hashOf(entry) | TAKEN;
    const mask = this.tags.length - 1;
    let i = tag & mask;
    while (this.tags[i] !== 0) i = (i + 1) & mask;
    this.tags[i] = tag;
    this.slots[i] = entry;
    this.size++;
  }

  /** False: it was not in the table. */
  remove(entry: T): boolean {
    const tag = this.hashOf(entry) | TAKEN;
    const mask = this.tags.length - 1;
    let i = tag & mask;
    while (this.slots[i] !== entry) {
      if (this.tags[i] === 0) return false;
      i = (i + 1) & mask;
    }
    this.close(i);
    this.size--;
    return true;
  }

  /** Every entry finds its place again: more places, or another secret. */
  rehash(places = this.tags.length): void {
    const all = [...this.entries()];
    this.tags = new Int32Array(places);
    this.slots = Array.from<T | undefined>({ length: places });
    this.size = 0;
    for (const e of all) this.add(e);
  }

  *entries(): Generator<T> {
    for (const e of this.slots) if (e !== undefined) yield e;
  }

  /** Place `i` becomes free; what stands behind it because it was taken moves up (Knuth 6.4, algorithm R). */
  private close(i: number): void {
    const { tags, slots } = this;
    const mask = tags.length - 1;
    let hole = i;
    for (let j = (hole + 1) & mask; tags[j] !== 0; j = (j + 1) & mask) {
      const home = tags[j]! & mask;
      if (((j - home) & mask) < ((j - hole) & mask)) continue;
      tags[hole] = tags[j]!;
      slots[hole] = slots[j];
      hole = j;
    }
    tags[hole] = 0;
    slots[hole] = undefined;
  }

  protected static tag(hash: number): number {
    return hash | TAKEN;
  }
}
