import { describe, expect, test } from '@jest/globals';
import type { Plan } from './plan.ts';
import { readScenarios } from './read.ts';

const plan = (text: string): Plan => {
  const { plans, problems } = readScenarios(text, 'f.yaml');
  expect(problems.map((p) => p.message)).toEqual([]);
  return plans[0]!;
};
const problems = (text: string, file = 'f.yaml'): string[] => readScenarios(text, file).problems.map((p) => p.message);
const base = 'name: x\nworkload: download 1MB\nexpect: stream intact\n';

test('a scenario as one writes it', () => {
  const p = plan(`name: tcp dies
setup: { latency: 5ms, rate: 10mbit, mtu: 1400, sysctl: { net.ipv4.tcp_sack: 0 } }
workload: [download 10MB, 'echo 3 udp every 50ms', ping 2 by stack to 10.77.0.9, connect 1 to port 81]
at 2s: kill tcp
after 1.5MB: [restart ip, "fault at tcp tx match 'tcp.len > 0' drop first 2 id gone"]
steps:
  - at 3s: on peer netem delay 100ms loss 1%
  - at 4s: netem off
expect: no RST, <= 1 retransmit, stream intact, recover < 1s, peer TcpExtTCPLossProbes >= 1, drop TCP_CSUM
within: 30s
`);
  expect(p).toMatchObject({
    setup: { latencyMs: 5, bitsPerSecond: 10e6, mtu: 1400, offload: false, sysctl: { 'net.ipv4.tcp_sack': '0' } },
    workloads: [
      { kind: 'download', by: 'peer', bytes: 10e6 },
      { kind: 'echo', proto: 'udp', count: 3, everyMs: 50, port: 7 },
      { kind: 'ping', by: 'stack', to: '10.77.0.9', count: 2, everyMs: 1000 },
      { kind: 'connect', port: 81 },
    ],
    withinMs: 30_000,
  });
  expect(p.steps.map((s) => [s.when, s.host, s.action])).toEqual([
    [{ atMs: 2000 }, 'stack', { kind: 'fault', rule: 'service kill tcp', id: undefined }],
    [{ afterBytes: 1.5e6 }, 'stack', { kind: 'fault', rule: 'service restart ip', id: undefined }],
    [
      { afterBytes: 1.5e6 },
      'stack',
      { kind: 'fault', rule: "at tcp tx match 'tcp.len > 0' drop first 2 id gone", id: 'gone' },
    ],
    [{ atMs: 3000 }, 'peer', { kind: 'fault', rule: 'at nic tx delay 100ms loss 1%', id: 'netem' }],
    [{ atMs: 4000 }, 'stack', { kind: 'clear', id: 'netem' }],
  ]);
  expect(p.expect.map((e) => [e.metric, e.op, e.value])).toEqual([
    [{ kind: 'rst' }, '==', 0],
    [{ kind: 'retransmits' }, '<=', 1],
    [{ kind: 'stream', whole: true }, '==', 1],
    [{ kind: 'recover' }, '<', 1000],
    [{ kind: 'counter', host: 'peer', name: 'TcpExtTCPLossProbes' }, '>=', 1],
    [{ kind: 'drop', host: 'stack', reason: 'TCP_CSUM' }, '>=', 1],
  ]);
});

test.each([
  ['no RST', '==', 0],
  ['retransmits == 2', '==', 2],
  ['">= 2 replies"', '>=', 2],
  ['rtt >= 1s', '>=', 1000],
  ['error ETIMEDOUT', '>=', 1],
  ['no error', '==', 0],
  ['hits syn == 2', '==', 2],
  ['no drop', '==', 0],
  ['connections TIME_WAIT == 1', '==', 1],
  ['restarts ip == 1', '==', 1],
])('%s', (text, op, value) => {
  expect(plan(base.replace('stream intact', text)).expect).toMatchObject([{ op, value }]);
});

describe('what is wrong is said with its place and its field', () => {
  test.each([
    ['nam: x\n', 'f.yaml:4:1: nam: there is no field "nam"'],
    ['setup: { latency: 5 ms }\n', 'f.yaml:4:19: setup.latency: "5 ms" is no time: write 10ms'],
    ['setup:\n  rat: 5\n', 'f.yaml:5:3: setup.rat: there is no field "rat"'],
    ['seed: one\n', 'f.yaml:4:7: seed: a whole number is wanted'],
    ['within: soon\n', 'f.yaml:4:9: within: "soon" is no time'],
    ['at 2s: kil tcp\n', 'f.yaml:4:8: at 2s: "kil" is nothing that can happen: kill, hang'],
    ['at 2s: kill tpc\n', 'f.yaml:4:13: at 2s: "tpc" is no service: nic'],
    ['at 2s every 0s: kill tcp\n', 'f.yaml:4:13: at 2s every 0s: "0s" is no time'],
    ['at 2s every: kill tcp\n', 'f.yaml:4:12: at 2s every: here the text ends: a time: every 2s'],
    ['at 2s: hang tcp\n', 'f.yaml:4:16: at 2s: here the text ends: how long'],
    ['at 2: kill tcp\n', 'f.yaml:4:4: at 2: "2" is no time'],
    ['after 2s: kill tcp\n', 'f.yaml:4:7: after 2s: "2s" is no size: write 200kB or 1MB (a time comes after "at")'],
    ["at 1s: fault at tcp match 'tcp.flags.sin == 1' drop\n", "f.yaml:4:28: at 1s: there is no field 'tcp.flags.sin'"],
    ['at 1s:\n  - kill ip\n  - netem dely 5ms\n', 'f.yaml:6:11: at 1s[2]: '],
    ['steps:\n  - on 2s: kill tcp\n', 'f.yaml:5:5: steps[1].on 2s: "on 2s" is no time of a step'],
    ['at 1s: sysctl x\n', 'f.yaml:4:15: at 1s: "x" is no NAME=VALUE'],
  ])('%j', (text, message) => {
    const found = problems(base + text);
    expect(found).toHaveLength(1);
    expect(found[0]!.slice(0, message.length)).toBe(message);
  });

  test.each([
    ['workload: dowload 1MB', 'f.yaml:2:11: workload: "dowload" is no workload: download, upload'],
    ['workload: [ping 1, download 1XB]', 'f.yaml:2:29: workload[2]: "1XB" is no size'],
    ['workload: download 1MB udp', 'f.yaml:2:24: workload: "udp" goes with echo only'],
    ['workload: 7', 'f.yaml:2:11: workload: a text, or a list of them'],
  ])('%j', (line, message) => {
    expect(problems(base.replace('workload: download 1MB', line))[0]!.slice(0, message.length)).toBe(message);
  });

  test.each([
    ['recover <1s', 'f.yaml:3:17: expect: "<1s" : write a blank after the comparison'],
    ['stream intact, recover < soon', 'f.yaml:3:34: expect: "soon" is no time'],
    [
      'TCPLossProbes >= 1',
      'f.yaml:3:9: expect: "TCPLossProbes" is nothing that can be looked at: did you mean TcpExtTCPLossProbes?',
    ],
    ['error EFOO', 'f.yaml:3:15: expect: "EFOO" is no errno such as ECONNREFUSED'],
    ['no RST at all', 'f.yaml:3:16: expect: "at" is one word too many'],
    ['retransmits', 'f.yaml:3:9: expect: "retransmits" wants a comparison'],
  ])('%j', (text, message) => {
    expect(problems(base.replace('stream intact', text))[0]!.slice(0, message.length)).toBe(message);
  });

  test('what is missing, no mapping, no YAML, nothing at all', () => {
    expect(problems('name: x\nworkload: ping 1\n')).toEqual(['f.yaml:1:1: expect: it is missing: what is expected?']);
    expect(problems('- a\n')[0]).toContain('a scenario is a mapping');
    expect(problems('name: [\n')[0]).toContain('no YAML');
    expect(problems('')).toEqual(['f.yaml:1:1: there is no scenario in it']);
  });

  test('in the second document, and in a block of a page', () => {
    expect(problems(`${base}---\n${base}at 2s: x\n`)[0]).toMatch(/^f\.yaml:8:8: at 2s/);
    const page = `# Page\n\n\`\`\`yaml scenario\n${base}at 2s: x\n\`\`\`\n\`\`\`yaml\nname: not one\n\`\`\`\n`;
    expect(problems(page, 'p.md')).toHaveLength(1);
    expect(problems(page, 'p.md')[0]).toMatch(/^p\.md:7:8: at 2s/);
  });
});
