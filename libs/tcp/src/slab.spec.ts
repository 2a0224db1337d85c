import { describe, expect, test } from '@jest/globals';
import { Slab, slotted } from './slab.ts';

const NUMBERS = { a: 1, b: -1, c: Number.POSITIVE_INFINITY };
const FLAGS = Object.fromEntries(Array.from({ length: 45 }, (_, i) => [`f${i}`, i % 7 === 0]));
class Base {
  own = 7;
}
class One extends slotted(Base, NUMBERS, FLAGS) {
  constructor(slab: Slab) {
    super();
    slab.take(this);
  }
}
const makeSlab = (): Slab => new Slab(Object.values(NUMBERS));
const flagsOf = (o: One): boolean[] =>
  Object.keys(FLAGS).map((name) => (o as unknown as Record<string, boolean>)[name]!);

describe('slots', () => {
  test('each object has its own numbers and flags, at first the given ones', () => {
    const slab = makeSlab();
    const all = Array.from({ length: 200 }, () => new One(slab));
    all.forEach((o, i) => {
      o.a = i;
      o.b = i + 0.5;
    });
    all.forEach((o, i) => expect([o.own, o.a, o.b, o.c]).toEqual([7, i, i + 0.5, Number.POSITIVE_INFINITY]));
    expect(flagsOf(all[0]!)).toEqual(Object.values(FLAGS));
    const o = all[1]!;
    o.f0 = false;
    o.f44 = true;
    expect([o.f0, o.f1, o.f43, o.f44, all[0]!.f0, all[0]!.f44]).toEqual([false, false, false, true, true, false]);
  });

  test('who leaves keeps its numbers; its slot is used again and begins anew', () => {
    const slab = makeSlab();
    const all = Array.from({ length: 500 }, () => new One(slab));
    for (const o of all) o.a = 5;
    const places = new Set(all.map((o) => o.numbers));
    for (const o of all) {
      slab.release(o);
      slab.release(o);
    }
    expect(all.every((o) => o.a === 5 && o.b === -1)).toBe(true);
    const next = Array.from({ length: 64 }, () => new One(slab));
    for (const o of next) o.a++;
    expect(next.every((o) => o.a === 2 && places.has(o.numbers))).toBe(true);
    expect(all.every((o) => o.a === 5)).toBe(true);
  });
});
