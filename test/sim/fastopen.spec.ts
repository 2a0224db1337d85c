import { describe, expect, test } from '@jest/globals';
import * as K from '@skbus/skb';
import { pattern, type Program, sockAddr, twoHosts } from '@skbus/sim';

const PORT = 80;

/** A server with TCP_FASTOPEN; every connection's bytes, in the order of their arrival, and an answer for each. */
function serve(server: Program): { got: Uint8Array[]; states: number[] } {
  const seen = { got: [] as Uint8Array[], states: [] as number[] };
  const fd = server.socket(K.SOCK_STREAM);
  server.must({ call: 'setsockopt', fd, level: K.SOL_TCP, name: K.TCP_FASTOPEN, value: 5 });
  server.must({ call: 'bind', fd, addr: sockAddr(0, PORT) });
  server.must({ call: 'listen', fd, backlog: 8 });
  const next = (): void =>
    server.call({ call: 'accept', fd, flags: 0 }, (conn) => {
      server.call({ call: 'recvfrom', fd: conn.result, len: 100_000, flags: K.MSG_WAITALL }, (r) => {
        seen.got.push(Buffer.concat(r.data ?? []));
      });
      server.call({ call: 'sendto', fd: conn.result, data: [pattern(0, 10)], flags: 0, to: undefined }, () => {});
      next();
    });
  next();
  return seen;
}

describe('TCP Fast Open between two hosts', () => {
  test('MSG_FASTOPEN: the second connection has its answer after one round trip', () => {
    const { net, onA, onB, b, a } = twoHosts({ latencyMs: 50 }, { tcp: { tcpFastopen: 3 } });
    const seen = serve(onB);
    const run = (n: number): { sent: number; took: number } => {
      const began = net.now;
      const fd = onA.socket(K.SOCK_STREAM);
      const sent = onA.must({
        call: 'sendto',
        fd,
        data: [pattern(0, n)],
        flags: K.MSG_FASTOPEN,
        to: sockAddr(b.addr, PORT),
      });
      onA.must({ call: 'recvfrom', fd, len: 10, flags: K.MSG_WAITALL });
      const took = net.now - began;
      onA.must({ call: 'shutdown', fd, how: K.SHUT_WR });
      net.runUntil(() => seen.got.length > 0);
      expect(Buffer.from(seen.got.shift()!).equals(Buffer.from(pattern(0, n)))).toBe(true);
      onA.close(fd);
      return { sent, took };
    };
    expect(run(500)).toMatchObject({ sent: 500 });
    const second = run(500);
    expect(second.sent).toBe(500);
    expect(second.took).toBeLessThan(110);
    expect(run(5000).sent).toBe(5000);
    expect(a.shells.tcp.env.mib.get('TcpExtTCPFastOpenActive')).toBe(2);
    expect(b.shells.tcp.env.mib.get('TcpExtTCPFastOpenPassive')).toBe(2);
    net.runFor(200_000);
    expect(net.check()).toEqual([]);
  });

  test('TCP_FASTOPEN_CONNECT: connect() returns at once, and the first write opens', () => {
    const { net, onA, onB, b, a } = twoHosts({ latencyMs: 50 }, { tcp: { tcpFastopen: 3 } });
    const seen = serve(onB);
    const open = (): { fd: number; took: number } => {
      const began = net.now;
      const fd = onA.socket(K.SOCK_STREAM);
      onA.must({ call: 'setsockopt', fd, level: K.SOL_TCP, name: K.TCP_FASTOPEN_CONNECT, value: 1 });
      onA.must({ call: 'connect', fd, addr: sockAddr(b.addr, PORT) });
      return { fd, took: net.now - began };
    };
    expect(open().took).toBeGreaterThan(99);
    const { fd, took } = open();
    expect(took).toBeLessThan(5);
    expect(onA.must({ call: 'sendto', fd, data: [pattern(0, 300)], flags: 0, to: undefined })).toBe(300);
    onA.must({ call: 'recvfrom', fd, len: 10, flags: K.MSG_WAITALL });
    onA.must({ call: 'shutdown', fd, how: K.SHUT_WR });
    net.runUntil(() => seen.got.length > 0);
    expect(seen.got[0]).toHaveLength(300);
    expect(a.shells.tcp.env.mib.get('TcpExtTCPFastOpenActive')).toBe(1);
  });
});
