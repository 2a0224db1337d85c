import { expect, test } from '@jest/globals';
import { WfreeList } from './wfree.ts';

test('a list of what has left keeps the newest sum per socket, across 2^32', () => {
  const list = new WfreeList();
  expect(list.take()).toBeUndefined();
  for (const [sk, wmem] of [
    [2, 10],
    [4, 0xffff_fff0],
    [2, 30],
    [2, 20],
    [4, 5],
    [4, 0xffff_fff8],
  ] as const)
    list.add(sk, wmem);
  expect([...list.take()!]).toEqual([
    [2, 30],
    [4, 5],
  ]);
  expect(list.take()).toBeUndefined();
});
