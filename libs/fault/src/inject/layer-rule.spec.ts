import { describe, expect, test } from '@jest/globals';
import { formatRule } from '../text/format.ts';
import { parseRule } from '../text/parse.ts';
import { checkRule } from './check.ts';

describe('the text of a fault of a layer', () => {
  test.each(['at neigh layer arp-silent 10.77.0.2 first 2 for 5s', 'at neigh layer table-full after 1s flap 500ms'])(
    '%s',
    (text) => {
      const { rule } = parseRule(text);
      expect(checkRule(text, rule!)).toBeUndefined();
      expect(formatRule(rule!)).toBe(text);
    },
  );

  test.each([
    ['at neigh layer arp-loud', 15, 'neigh has no fault "arp-loud": arp-silent [IP]'],
    ['layer arp-silent 10.77 at neigh', 17, '"10.77" is no ip, which is an address such as 10.77.0.2: arp-silent [IP]'],
    ['at neigh layer table-full 3', 26, '"3" is too much: table-full'],
    ['at neigh rx layer table-full', 9, 'table-full is there for a time, whatever passes'],
    ["at neigh match 'arp' layer table-full", 9, 'it takes no direction, function or match'],
    ['at neigh.arp_rcv layer table-full', 0, 'it takes no direction, function or match'],
    ['at neigh layer table-full first 3', 26, 'nothing is counted: it takes after, for and flap'],
    ['at neigh layer table-full flap 1ms', 26, 'a period is not shorter than 10ms'],
    ['at neigh rx drop flap 1s', 17, 'flap is for faults of a layer that are there for a time'],
  ])('%s is wrong at column %i', (text, column, message) => {
    const error = checkRule(text, parseRule(text).rule!);
    expect(error).toMatchObject({ column });
    expect(error!.message).toContain(message);
  });
});
