import { describe, expect, test } from '@jest/globals';
import { formatRule } from './format.ts';
import { parseRule } from './parse.ts';

const canonical = [
  "at tcp rx match 'tcp.flags.syn == 1' drop first 2 seed 7",
  'at nic tx delay 100ms 20ms loss 1%',
  'at ip.ip_rcv set ip.ttl=1 csum keep nth 3',
  'at tcp tx truncate 20',
  'at neigh rx hold once per connection',
  'at tcp layer zero-window for 2s',
  'service kill tcp after 2s',
  'at tcp rx service kill tcp nth 3',
  'at tcp.sk_cmd drop every 10 probability 0.5',
  'at ip.ctl.route_query drop first 2',
  'at neigh.ctl.* delay 50ms',
  'at tcp match \'http.host matches "a\\d"\' drop NOMEM after 1.5ms for 2s',
  "at ip tx script '3: drop NOMEM; 5: send +1.25ms and +0ms flip 77 ce; 6: set ip.ttl=1 csum keep then hold'",
  'service kill broker',
  'service hang ip 2s every 3',
];

describe('the text of a rule', () => {
  test.each(canonical)('%s', (text) => {
    const { rule, error } = parseRule(text);
    expect(error).toBeUndefined();
    expect(formatRule(rule!)).toBe(text);
    expect(parseRule(formatRule(rule!)).rule).toEqual(rule);
  });

  test.each([
    ['drop at tcp rx seed 7 first 2', 'at tcp rx drop first 2 seed 7'],
    ['at tcp rx tcp_v4_rcv drop', 'at tcp.tcp_v4_rcv rx drop'],
    ['at ip ctl.route_query drop FAULT_INJECTED', 'at ip.ctl.route_query drop'],
    ['delay 100ms at nic tx loss 1% nth 7,3,3 limit 50', 'at nic tx limit 50 delay 100ms loss 1% nth 3,7'],
    ['at nic tx drop 1%', 'at nic tx loss 1%'],
    ['at tcp drop probability 10% for 2000ms', 'at tcp drop probability 0.1 for 2s'],
    ['at tcp match "ip.src == 1.2.3.4" drop', "at tcp match 'ip.src == 1.2.3.4' drop"],
  ])('%s is written %s', (text, canonicalText) => {
    expect(formatRule(parseRule(text).rule!)).toBe(canonicalText);
  });

  test.each([
    ['at tpc rx drop', 3, '"tpc" is no layer: nic, neigh, ip, tcp, udp, socket'],
    [
      'at tcp.ip_rcv drop',
      7,
      '"ip_rcv" is no seam of tcp: tcp_v4_rcv, tcp_v4_err, ip_queue_xmit, sk_evt, sk_cmd, ctl.VERB',
    ],
    ['at tcp tx tcp_v4_rcv drop', 10, '"tcp_v4_rcv" is no tx seam of tcp: ip_queue_xmit, sk_cmd, ctl.VERB'],
    ['at tcp drop NO_SUCH', 12, '"NO_SUCH" is no drop reason'],
    ['at tcp drop hold', 12, 'a rule does one thing'],
    ['at tcp drop first two', 18, '"two": "first" takes a number from 1'],
    ['at tcp drop every 0', 18, '"0": "every" takes a number from 1'],
    ['at tcp drop for 2', 16, '"2" is no time: write 500ms or 2s'],
    ['at tcp drop probability 110%', 24, '"110%" is no probability'],
    ['at tcp drop first 1 first 2', 20, '"first" is there twice'],
    ['at tcp drop wobble', 12, '"wobble" is no word of a rule'],
    ["at tcp match 'tcp drop", 13, "the ' has no end"],
    ["at tcp 'tcp' drop", 7, 'a filter comes after "match"'],
    ['at tcp set ttl csum keep', 11, 'set takes field=value'],
    ['at tcp set ip.ttl=1 csum maybe', 25, '"maybe": "csum" takes fix or keep'],
    ["at tcp script '3: explode'", 14, '"explode" is nothing that can be done'],
    ['drop first 2', 12, 'where? "at" and one of nic'],
    ['at tcp rx first 2', 17, 'what shall happen? drop, truncate'],
    ['at tcp drop nth', 15, 'here the text ends: a number or a list'],
    ['service shout tcp', 8, '"shout" is nothing a service can suffer: kill, hang, slow, restart, cut'],
    ['service hang tcp', 16, 'how long: service hang LAYER TIME'],
    ['at tcp drop once a day', 17, '"a": the words are "once per connection"'],
  ])('%s is wrong at column %i', (text, column, message) => {
    const { error } = parseRule(text);
    expect(error).toMatchObject({ column });
    expect(error!.message).toContain(message);
  });
});
