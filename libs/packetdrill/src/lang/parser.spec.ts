import { describe, expect, test } from '@jest/globals';
import type { Event, PacketSpec, Script, SyscallSpec, TcpPacket } from './ast.ts';
import { lex } from './lexer.ts';
import { parseScript } from './parser.ts';
import { printScript } from './print.ts';

const parse = (text: string): Script => parseScript(text, 'a.pkt');
const first = (text: string): Event => parse(text).events[0]!;
const packet = (text: string): TcpPacket => (first(text).action as PacketSpec).packet as TcpPacket;
const call = (text: string): SyscallSpec => first(text).action as SyscallSpec;

describe('lexer', () => {
  test.each([
    ['0.100...0.200', ['float 0.100', 'ellipsis ...', 'float 0.200']],
    ['+0~+.05', ['punct +', 'int 0', 'punct ~', 'punct +', 'float .05']],
    ['1:1001(1000)', ['int 1', 'punct :', 'int 1001', 'punct (', 'int 1000', 'punct )']],
    ['P.5 .', ['word P', 'float .5', 'punct .']],
    ['FO 0123456789abcdef', ['word FO', 'word 0123456789abcdef']],
    ['--mss=1000 --define=CC="reno"', ['option --mss=1000', 'option --define=CC="reno"']],
    ['--local_ip=10.0.0.1 /* a\n*/ 0x1F // b', ['option --local_ip=10.0.0.1', 'hex 0x1F']],
    ['"a\\"b" `x "y"` %{ a\n}%', ['string a\\"b', 'command x "y"', 'code  a\n']],
  ])('%s', (text, tokens) => {
    expect(lex(text, 'a.pkt').map((t) => `${t.kind} ${t.text}`)).toEqual([...tokens, 'end end of script']);
  });

  test('places count lines and columns from 1, through comments', () => {
    const at = lex('/* x\n y */ a\n  b', 'a.pkt').map((t) => `${t.line}:${t.column}`);
    expect(at).toEqual(['2:7', '3:3', '3:4']);
  });
});

describe('what a script says comes out as it went in', () => {
  test.each([
    '--tolerance_usecs=75000',
    '--define=PROTO=IPPROTO_TCP',
    '0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3',
    '+0.100 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)',
    '+0...0.200 accept(3, ..., ...) = 4',
    '0.100...0.250 read(4, ..., 100) = 100',
    '+0 fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)',
    '+0 setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff = 1, linger = 0}, 8) = 0',
    '+0 bind(3, {sa_family = AF_INET, sin_port = htons(8080), sin_addr = inet_addr("0.0.0.0")}, ...) = 0',
    '+0 poll([{fd = 3, events = POLLIN | POLLOUT, revents = POLLOUT}], 1, 0) = 1',
    '+0 recvmsg(4, {msg_name(...) = ..., msg_iov(1) = [{..., 1000}], msg_flags = MSG_TRUNC, msg_control = [{cmsg_level = SOL_TCP, cmsg_type = TCP_CM_INQ, cmsg_data = 0}]}, 0) = 10',
    '+0 write(4, "a\\"b\\n", 4) = 4',
    '+0 setsockopt(3, 6, 1, [(1 | 2) << 3], 4) = 0',
    '+0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>',
    '+0 > S. 0:0(0) ack 1 <...>',
    '* > R 0:0(0)',
    '+0~+0.050 > FP. 1:1001(1000) ack 1 win 5 urg 3 <nop,nop,TS val 100 ecr 0>',
    '0.100~0.200 > . 1:1(0) ack 5 <nop,nop,sack 7:9 11:13>',
    '+0 < 1234 > 8080 S 5:5(0) win 0',
    '+0 > [ect0] P.5 1:11(10) ack 1 <ECN e1b 1 ceb 0 e0b 1,nop>',
    '+0 < [tos 0x10, flowlabel 0x5] SEWA 0:10(10) <FO 0123abcd,md5 00ff,FOEXP>',
    '+0 < - 1:1(0) win 5',
    '+0 < icmp unreachable frag_needed mtu 1200 [1:1001(1000)]',
    '+0 < [ttl 5] icmp echo_request id 7 [raw (64)]',
    '+0 < icmp unreachable port_unreachable [udp (10)]',
    '+0 > udp 5 > 6 (100)',
    '+0 `sysctl -q net.ipv4.tcp_sack=0`',
    '+0 %{ assert tcpi_snd_cwnd == 10 }%',
  ])('%s', (line) => {
    const text = line.startsWith('--') ? `${line}\n0 close(3) = 0\n` : `${line}\n`;
    expect(printScript(parse(text))).toBe(text);
    expect(printScript(parse(printScript(parse(text))))).toBe(text);
  });

  test('a result ends where the next event begins', () => {
    const s = parse('+0 read(3, ..., 5) = -1 EAGAIN\n+0.1 close(3) = 0\n*  > . 1:1(0)\n');
    expect(s.events.map((e) => e.action.kind)).toEqual(['syscall', 'syscall', 'packet']);
  });

  test('commands before and after; defines replace words; strings are joined', () => {
    const s = parse('--define=CC="reno"\n--define=N=7\n`init`\n0 send(N, CC "x"..., 5, MSG_MORE) = 0x1f\n`done`');
    expect([s.init?.text, s.cleanup?.text]).toEqual(['init', 'done']);
    const { args, result } = s.events[0]!.action as SyscallSpec;
    expect(args.slice(0, 2)).toMatchObject([{ value: 7 }, { value: 'renox' }]);
    expect(result).toMatchObject({ value: 31 });
    const given = parseScript('0 close(FD) = 0', 'a.pkt', new Map([['FD', '9']]));
    expect((given.events[0]!.action as SyscallSpec).args[0]).toMatchObject({ kind: 'int', value: 9 });
  });

  test('flags and counters', () => {
    expect(packet('0 < SFRPUEWA. 0:0(0)').flags.bits).toBe(0x1ff);
    expect(packet('0 > .7 1:1(0)').flags).toEqual({ bits: 0x10, ace: 7 });
    for (const flags of ['P.5', 'P5.', '.5P', '5P.', '5.P'])
      expect(packet(`0 > ${flags} 1:1(0)`).flags).toEqual({ bits: 0x18, ace: 5 });
    expect(packet('0 < . 4294967290:4(10)')).toMatchObject({ seq: 4294967290, len: 10 });
    expect(call('0 f(-1, ~1) = ...').args).toMatchObject([{ value: -1 }, { op: '~' }]);
  });
});

test.each([
  ['0 < S 0:5(4)', '1:7', '0:5 is 5 bytes and not 4'],
  ['0 < X 0:0(0)', '1:5', "'X' is no TCP flag"],
  ['0 < P8. 0:0(0)', '1:5', "'8' is no TCP flag"],
  ['0 < P.55 0:0(0)', '1:6', "'5' is no TCP flag"],
  ['0 < 0:0(0)', '1:5', "expected the flags of a TCP packet, found '0'"],
  ['0 > . 1:1(0) <mss 70000>', '1:19', 'an MSS 70000 is more than 65535'],
  ['\n  0 < . 1:1(0) <...>', '2:7', '<...> is for packets that are expected'],
  ['0~0.1 close(3) = 0', '1:1', 'only a packet that is expected may come'],
  ['0.2...0.1 close(3) = 0', '1:1', 'ends before it begins'],
  ['0 close(3 = 0', '1:11', "expected ',' or ')'"],
  ['0 close(3) 0', '1:12', "expected '='"],
  ['0 < . 1:1(0) <foo>', '1:15', "'foo' is no TCP option"],
  ['0 write(4, "abc', '1:12', 'without its end'],
  ['0 < ipv6 1', '1:5', 'encapsulation in ipv6 is not supported'],
  ['0 < . 1:1(0) <FO abc>', '1:18', 'an even number of hexadecimal digits'],
  ['--define=x\n0 close(3) = 0', '1:1', '--define needs NAME=value'],
  ['', '1:1', 'expected an event'],
])('%s fails at %s', (text, place, what) => {
  expect(() => parse(text)).toThrow(`a.pkt:${place}: `);
  expect(() => parse(text)).toThrow(what);
});
