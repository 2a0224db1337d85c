import { describe, expect, test } from '@jest/globals';
import { formatRule } from '../text/format.ts';
import { parseRule } from '../text/parse.ts';
import { checkRule } from './check.ts';

describe('a rule at a trace point', () => {
  test.each([
    'at tcp:tcp_v4_do_rcv drop SOCKET_FILTER nth 2',
    "at tcp:tcp_ack match 'tcp.len > 0' set skb.mark=7",
    'at tcp:tcp_connect drop NOMEM first 1',
    'at ip:fib_lookup service kill neigh nth 3',
    "at tcp:tcp_v4_rcv script '2: drop NOMEM; 4: set skb.mark=1'",
  ])('%s', (text) => {
    const { rule } = parseRule(text);
    expect(checkRule(text, rule!)).toBeUndefined();
    expect(formatRule(rule!)).toBe(text);
  });

  test.each([
    ['at tcp:tcp_v4_recv drop', 7, '"tcp_v4_recv" is no trace point: '],
    ['at tcp:fault_inject drop', 7, '"fault_inject" is no trace point: '],
    ['at tpc:tcp_v4_rcv drop', 3, '"tpc:tcp_v4_rcv" is no layer'],
    ['at tcp:tcp_ack drop', 15, 'tcp_ack cannot fail; in tcp these can: tcp_v4_rcv, tcp_v4_do_rcv'],
    ['at tcp:tcp_connect drop', 19, 'tcp_connect can fail for want of memory alone: drop NOMEM'],
    ['at tcp:tcp_v4_rcv delay 10ms', 18, 'in the middle of a function a packet can be dropped'],
    ['at tcp:tcp_v4_rcv loss 10%', 18, 'what delays, holds or changes packets sits where they are handed over'],
    ['at tcp:tcp_v4_rcv hold', 18, 'in the middle of a function'],
    ['at tcp:tcp_v4_rcv truncate 3', 18, 'in the middle of a function'],
    ['at ip:ip_rcv set ip.ttl=1', 13, 'in the middle of a function'],
    ['at tcp:tcp_v4_rcv layer seq-jump 7', 3, 'seq-jump happens to packets on their way tx: at tcp tx'],
  ])('%s is wrong at column %i', (text, column, message) => {
    const { rule, error } = parseRule(text);
    const wrong = error ?? checkRule(text, rule!);
    expect(wrong!.message).toContain(message);
    expect(wrong).toMatchObject({ column });
  });
});
