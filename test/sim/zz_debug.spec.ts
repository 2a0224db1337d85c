import { test } from '@jest/globals';
import { twoHosts } from './topologies.ts';

test('debug', () => {
  const { net, a, b, link, onA, onB } = twoHosts();
  let got: any;
  onB.serve(80, (fd) => (got = onB.readAll(fd, 0)));
  const { fd, errno } = onA.connect(b.addr, 80);
  console.log('connect', errno, net.now);
  a.trace();
  b.trace();
  const w = onA.writeAll(fd, 100_000);
  net.runFor(3000);
  console.log(w, got, link.counters, a.tcp.sockets(), b.tcp.sockets(), a.sockets.sockets(), b.sockets.sockets());
  const pr = (h: any) => h.hits.slice(0, 150).map((x: any) => `${x.atMs.toFixed(1)} ${x.layer} ${x.point} ${x.skb} ${x.detail ? JSON.stringify(x.detail) : ''}`).join('\n');
  console.log('A\n' + pr(a));
  console.log('B\n' + pr(b));
});
