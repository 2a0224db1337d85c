import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseIpv4 } from '@skbus/skb';
import { parseCmdline, splitWords } from './cmdline.ts';
import { CmdlineError } from './cmdline-error.ts';
import { formatDmesg, KernelLog } from './kernel-log.ts';

describe('words', () => {
  test.each([
    [
      'a  b=c\td',
      [
        ['a', undefined],
        ['b', 'c'],
        ['d', undefined],
      ],
    ],
    [
      'dyndbg="file af_inet.c +p" x',
      [
        ['dyndbg', 'file af_inet.c +p'],
        ['x', undefined],
      ],
    ],
    ['"dyndbg=file x +p"', [['dyndbg', 'file x +p']]],
    ['a==b', [['a', '=b']]],
    ['=x', [['=x', undefined]]],
    ['""', [['', undefined]]],
  ])('%s', (text, words) => {
    expect(splitWords(text).map((w) => [w.name, w.value])).toEqual(words);
  });

  test('an open quote is named', () => {
    expect(() => splitWords('a "b c')).toThrow('the quote in "b c is not closed');
  });

  test('any text parses or throws CmdlineError', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (text) => {
        try {
          parseCmdline(text);
        } catch (e) {
          expect(e).toBeInstanceOf(CmdlineError);
        }
      }),
    );
  });
});

describe('parameters', () => {
  test('what is known is taken, the rest is kept', () => {
    const c = parseCmdline(
      'quiet ip=10.0.0.2::10.0.0.1:255.255.0.0:host:skb0:off:9.9.9.9 initcall-debug initcall_blacklist=a,b -- single',
    );
    expect(c).toMatchObject({
      initcallDebug: true,
      blacklist: ['a', 'b'],
      unknown: ['quiet'],
      initArgs: ['single'],
      ip: {
        client: parseIpv4('10.0.0.2'),
        server: undefined,
        gateway: parseIpv4('10.0.0.1'),
        netmask: parseIpv4('255.255.0.0'),
        hostname: 'host',
        device: 'skb0',
        autoconf: 'off',
        dns: [parseIpv4('9.9.9.9')],
      },
    });
  });

  test('ip=off and ip=none mean no address', () => {
    expect(parseCmdline('ip=off').ip!.off).toBe(true);
    expect(parseCmdline('ip=none').ip!.off).toBe(true);
  });

  test.each([
    ['ip=10.0.0', 'client-ip "10.0.0" is not an IPv4 address'],
    ['ip=10.0.0.1::10.0.0.256', 'gw-ip "10.0.0.256" is not an IPv4 address'],
    ['ip=10.0.0.1:::255.0.255.0', 'netmask "255.0.255.0" has holes'],
    ['ip=:::255.255.255.0::skb0:off', 'client-ip is missing'],
    ['ip=10.0.0.1:::::skb0:dhcp', 'autoconf "dhcp" is not available here'],
    ['ip=dhcp', 'ip=dhcp: there is no DHCP client here'],
    ['ip=1.1.1.1:::::skb0:off:::::', 'more than 10 fields'],
    ['ip=1.1.1.1:::::abcdefghijklmnop', 'longer than 15'],
    ['initcall_debug=maybe', 'initcall_debug=maybe: expected a yes or a no'],
    ['initcall_blacklist', 'initcall_blacklist=: expected names'],
  ])('%s', (text, why) => {
    expect(() => parseCmdline(text)).toThrow(why);
  });
});

describe('dmesg', () => {
  test('reads like dmesg(1)', () => {
    expect(formatDmesg({ ms: 12.345, text: 'NET: Registered PF_INET protocol family' })).toBe(
      '[    0.012345] NET: Registered PF_INET protocol family',
    );
    expect(formatDmesg({ ms: 123_456_789.5, text: 'x' })).toBe('[123456.789500] x');
  });

  test('keeps the newest, tells followers, shows control characters', () => {
    const log = new KernelLog(1000, 4);
    const got: string[] = [];
    const off = log.follow((r) => got.push(r.text));
    log.print('ip', 'a\u001b[31m\nb', 1001);
    off();
    for (let i = 0; i < 10; i++) log.print('ip', `line ${i}`, 1002);
    expect(got).toEqual(['a\\x1b[31m', 'b']);
    const left = log.since();
    expect(left.at(-1)).toMatchObject({ seq: 11, ms: 2, text: 'line 9' });
    expect(left.length).toBeLessThan(8);
    expect(log.since(11)).toHaveLength(1);
  });
});
