import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { SkBuff } from '@skbus/skb';
import { makeFrames, pcapOf } from '../testing/frames.ts';
import { compileFilter } from './filter.ts';

// tshark is the oracle: the same frames, the same filter, the same answer. Without it (npm test installs it) there is none.

const FILTERS = `
  tcp · udp · arp · icmp · ip · frame · eth · not tcp · !!tcp
  tcp.flags.syn == 1 && tcp.flags.ack == 0 · tcp.flags.syn · tcp.flags.syn == 2 · tcp.flags.reset == True · tcp.flags == 0x012
  tcp.flags & 2 · tcp.flags & 0x12 == 0x12 · tcp.port & 1 == 0 · tcp[12] & f0 == 50 · tcp.payload[0:2] & ff:00 · ip.src & 128.0.0.0
  tcp.flags.ae == 1 || tcp.flags.urg == 1 && tcp.urgent_pointer > 0 · !tcp.flags.syn == 1 · not tcp and not udp or icmp
  ip.addr == 10.77.0.1 · ip.addr != 10.77.0.1 · !(ip.addr == 10.77.0.1) · ip.addr !== 10.77.0.1 · ip.addr === 10.77.0.1
  all ip.addr == 10.77.0.0/24 · any ip.addr == 10.77.0.1 · ip.src != 10.77.0.0/16 · ip.src > 10.0.0.0/8 · ip.src < 192.0.0.0/8
  ip.addr in {10.77.0.0/24, 203.0.113.5} · ip.src in {10.77.0.1..10.77.0.2} · ip.src == ip.dst · ip.src in {ip.dst}
  tcp.port in {40001, 50000..50001} · tcp.port not in {40001, 40002} · tcp.srcport == tcp.dstport · tcp.srcport == 0116101
  tcp.srcport > tcp.dstport · tcp.port >= 65000 · udp.port != 40001 · udp.dstport ~= 40001 · tcp.port all_eq 40001
  tcp.len > 0 · tcp.len == 0 · tcp.hdr_len == 32 · tcp.seq_raw == 0xffffffff · tcp.window_size_value == 0 · tcp.window_size == 0
  tcp.checksum == 0 · udp.checksum == 0 · udp.length > 20 · icmp.type == 8 && icmp.code == 0 · icmp.ident == 3 · icmp.seq gt 30000
  tcp.options · tcp.options.mss_val == 1460 · tcp.options.wscale.shift le 7 · tcp.options.timestamp.tsval > 0x80000000
  tcp.options.timestamp.tsecr == 2 · tcp.options.sack · tcp.options.sack_perm · tcp.options.sack.count == 2 · tcp.options.sack_le < 500
  tcp.options.sack_re != 5 · tcp.options contains 01:01:08:0a · !tcp.options.timestamp && tcp
  ip.ttl in {1, 63..64} · ip.id < 0x1000 · ip.hdr_len == 24 · ip.version eq 4 · ip.proto == 17 · ip.len le 60 · ip.checksum > 0x7fff
  ip.flags == 2 · ip.flags.df == 1 · ip.flags.mf == 1 · ip.frag_offset > 0 · ip.dsfield.dscp == 8 · ip.dsfield.ecn == 3 · ip.dsfield == 0x20
  arp.opcode == 2 · arp.src.proto_ipv4 == 10.77.0.0/24 · arp.dst.hw_mac == ff:ff:ff:ff:ff:ff · arp.proto.type == 0x800
  eth.addr == 02-00-0a-4d-00-01 · eth.dst == 0011.2233.4455 · eth.src[0:3] == 02:00:0a · eth.src contains 4d:00 · eth.type == 0x806
  frame.len > 80 · frame.len in {40..60} · frame[12:2] == 08:06 · ip[8] == 40 · udp[4:2] == 00:08 · ip.src[0:2] == 0a:4d
  tcp contains "HELLO" · tcp.payload matches "^hello" · frame matches "\\\\x00\\\\x01\\\\x02" · udp.payload contains de:ad
  tcp.payload[0:4] == "hell" · tcp.payload[-2:] == 0d:0a · tcp.payload[0:2,3:1] == 47:45:20 · tcp.payload[0-3] == 68:65:6c:6c
  tcp.payload[0] == 'h' · tcp.payload[5:] contains "ello" · tcp.payload[0:1000] == 00:01 · tcp[13] > 4 · tcp.payload == "hello"
`
  .split(/[·\n]/)
  .map((f) => f.trim())
  .filter((f) => f !== '');

/** Both say no. */
const REFUSED = [
  'ip.ttl == 300',
  'ip.src == 5',
  'ip.src == "10.77.0.1"',
  'ip.src == 10.77.0.0/33',
  'tcp ==',
  '(tcp',
  'tcp)',
  'tcp udp',
  'tcp.flags.sin == 1',
  'tcp.payload matches "("',
  'tcp.payload matches hello',
  'tcp.port matches "4"',
  'ip.ttl contains 1',
  '64 <= ip.ttl',
  'frame.len[0] == 1',
  'eth.src == 02:00',
  'tcp.port in {}',
  'tcp.port in {1,}',
  'TCP',
  'tcp AND udp',
  'tcp.flags.syn & 1',
  'ip.src == tcp.port',
];

/** Each frame for itself: nothing reassembled, nothing counted from the start of a connection. */
const PREFERENCES = {
  'ip.defragment': 'FALSE',
  'tcp.desegment_tcp_streams': 'FALSE',
  'tcp.relative_sequence_numbers': 'FALSE',
  'tcp.analyze_sequence_numbers': 'FALSE',
};

const frames = makeFrames(20261, 600);

interface Answer {
  id: number;
  result?: { num: number }[];
}

/**
 * Which frames (from 0) each filter shows; `undefined`: it is refused. sharkd is tshark's engine as a server: one start for all
 * of them, where `tshark -Y` would need one for each.
 */
function askTshark(filters: readonly string[]): (number[] | undefined)[] {
  const dir = mkdtempSync(join(tmpdir(), 'skbus-filter-'));
  const file = join(dir, 'frames.pcap');
  writeFileSync(file, pcapOf(frames));
  const requests = [
    ...Object.entries(PREFERENCES).map(([name, value]) => ({ method: 'setconf', params: { name, value } })),
    { method: 'load', params: { file } },
    ...filters.map((filter) => ({ method: 'frames', params: { filter, column0: 'frame.number:0' } })),
  ];
  const first = requests.length - filters.length;
  const input = requests.map((r, id) => `${JSON.stringify({ jsonrpc: '2.0', id, ...r })}\n`).join('');
  const { stdout } = spawnSync('sharkd', ['-'], { input, encoding: 'utf8', timeout: 60_000, maxBuffer: 2 ** 28 });
  rmSync(dir, { recursive: true });
  const shown: (number[] | undefined)[] = filters.map(() => undefined);
  for (const line of stdout.split('\n').filter((l) => l.startsWith('{'))) {
    const { id, result } = JSON.parse(line) as Answer;
    if (id >= first && result) shown[id - first] = result.map((f) => f.num - 1);
  }
  return shown;
}

function ours(filter: string): number[] | undefined {
  const { filter: compiled } = compileFilter(filter);
  if (!compiled) return undefined;
  const seam = { layer: 'nic', dir: 'rx', func: 'wire' } as const;
  return frames.flatMap((f, i) =>
    compiled.matches({ seam, skb: new SkBuff(f, 0, f.length), starts: 'eth' }) ? [i] : [],
  );
}

const found = spawnSync('sharkd', ['-v']).error === undefined;

(found ? describe : describe.skip)('tshark sees it the same way', () => {
  const shown = found ? askTshark([...FILTERS, ...REFUSED]) : [];
  const answers = new Map([...FILTERS, ...REFUSED].map((filter, i) => [filter, shown[i]]));

  test.each(FILTERS)('%s', (filter) => {
    expect(answers.get(filter)).toBeDefined();
    expect(ours(filter)).toEqual(answers.get(filter));
  });

  test.each(REFUSED)('both refuse %s', (filter) => {
    expect(answers.get(filter)).toBeUndefined();
    expect(ours(filter)).toBeUndefined();
  });

  test('the filters tell the frames apart', () => {
    const idle = FILTERS.filter((f) => ours(f)!.length === 0);
    expect(idle).toEqual(['tcp.payload[0:1000] == 00:01']);
  });
});
