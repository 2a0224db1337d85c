/** One piece of memory with room for some objects' numbers. */
interface Chunk {
  readonly numbers: Float64Array;
  /** Where the free slots begin. */
  readonly free: number[];
}

const SLOTS_PER_CHUNK = 64;

/**
 * Memory for the numbers of many objects of one kind, as kmem_cache has it: each object's stand side by side in a slot.
 * A number in a field of its own is a heap object as soon as it is no small integer, each in another line of memory, and
 * with ten thousand connections what a segment costs is the lines it touches.
 */
export class Slab {
  private readonly initial: Float64Array;
  private readonly chunks = new Map<Float64Array, Chunk>();
  /** Those with free slots; the last one is used. */
  private readonly partial: Chunk[] = [];

  /** @param initial what is in a slot when it is taken; its length is the size of a slot */
  constructor(initial: readonly number[]) {
    this.initial = Float64Array.from(initial);
  }

  /** Gives `owner` a slot. */
  take(owner: { numbers: Float64Array; slot: number }): void {
    const chunk = this.partial.at(-1) ?? this.newChunk();
    const slot = chunk.free.pop()!;
    if (chunk.free.length === 0) this.partial.pop();
    chunk.numbers.set(this.initial, slot);
    owner.numbers = chunk.numbers;
    owner.slot = slot;
  }

  /** Takes it back. Whoever still holds the owner finds its numbers as they were. */
  release(owner: { numbers: Float64Array; slot: number }): void {
    const { numbers, slot } = owner;
    const chunk = this.chunks.get(numbers);
    if (chunk === undefined) return;
    owner.numbers = numbers.slice(slot, slot + this.initial.length);
    owner.slot = 0;
    if (chunk.free.push(slot) === 1) this.partial.push(chunk);
    else if (chunk.free.length === SLOTS_PER_CHUNK && this.partial.length > 1) this.drop(chunk);
  }

  private newChunk(): Chunk {
    const size = this.initial.length;
    const numbers = new Float64Array(SLOTS_PER_CHUNK * size);
    const chunk = {
      numbers,
      free: Array.from({ length: SLOTS_PER_CHUNK }, (_, i) => (SLOTS_PER_CHUNK - 1 - i) * size),
    };
    this.chunks.set(numbers, chunk);
    this.partial.push(chunk);
    return chunk;
  }

  private drop(chunk: Chunk): void {
    this.chunks.delete(chunk.numbers);
    this.partial.splice(this.partial.indexOf(chunk), 1);
  }
}

/** What slotted() adds to a class. */
export type Slotted<N, F> = { numbers: Float64Array; slot: number } & { -readonly [K in keyof N]: number } & {
  -readonly [K in keyof F]: boolean;
};

const FLAGS_PER_WORD = 30;

/**
 * `base` with the properties of `numbers`, which stand in a slot of a Slab in this order, and those of `flags`, which are
 * bits. The values are what they are at first.
 */
export function slotted<B, N extends Record<string, number>, F extends Record<string, boolean>>(
  base: abstract new () => B,
  numbers: N,
  flags: F,
): abstract new () => B & Slotted<N, F> {
  const words = [0, 0];
  Object.values(flags).forEach((on, i) => {
    if (on) words[Math.floor(i / FLAGS_PER_WORD)]! |= 1 << (i % FLAGS_PER_WORD);
  });
  const [word0 = 0, word1 = 0] = words;
  abstract class WithSlot extends (base as abstract new () => object) {
    numbers = NO_NUMBERS;
    slot = 0;
    flags0 = word0;
    flags1 = word1;
  }
  Object.keys(numbers).forEach((name, i) => {
    Object.defineProperty(WithSlot.prototype, name, {
      get(this: WithSlot): number {
        return this.numbers[this.slot + i]!;
      },
      set(this: WithSlot, value: number) {
        this.numbers[this.slot + i] = value;
      },
    });
  });
  Object.keys(flags).forEach((name, i) => {
    const bit = 1 << (i % FLAGS_PER_WORD);
    Object.defineProperty(WithSlot.prototype, name, i < FLAGS_PER_WORD ? inWord0(bit) : inWord1(bit));
  });
  return WithSlot as unknown as abstract new () => B & Slotted<N, F>;
}

const NO_NUMBERS = new Float64Array(0);

const inWord0 = (bit: number): PropertyDescriptor & ThisType<{ flags0: number }> => ({
  get() {
    return (this.flags0 & bit) !== 0;
  },
  set(on: boolean) {
    this.flags0 = on ? this.flags0 | bit : this.flags0 & ~bit;
  },
});

const inWord1 = (bit: number): PropertyDescriptor & ThisType<{ flags1: number }> => ({
  get() {
    return (this.flags1 & bit) !== 0;
  },
  set(on: boolean) {
    this.flags1 = on ? this.flags1 | bit : this.flags1 & ~bit;
  },
});
