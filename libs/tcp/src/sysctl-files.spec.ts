import { describe, expect, test } from '@jest/globals';
import { ERRNO } from '@skbus/skb';
import { parseTcpSysctl, readTcpSysctl, sysctlKeys, tcpSysctlNames } from './sysctl-files.ts';
import { TCP_SYSCTL_DEFAULTS } from './sysctl.ts';

describe('sysctls of tcp', () => {
  test('every switch of the engine has its name', () => {
    expect(sysctlKeys().toSorted()).toEqual(Object.keys(TCP_SYSCTL_DEFAULTS).toSorted());
  });

  test('what can be read can be written', () => {
    for (const name of tcpSysctlNames()) {
      const text = readTcpSysctl(TCP_SYSCTL_DEFAULTS, name)!;
      const change = parseTcpSysctl(name, text);
      if (name.endsWith('available_congestion_control'))
        expect(change).toMatchObject({ errno: ERRNO.EACCES, message: expect.stringMatching(/only be read/) });
      else expect(readTcpSysctl({ ...TCP_SYSCTL_DEFAULTS, ...(change as object) }, name)).toBe(text);
    }
  });

  test.each([
    ['net.ipv4.tcp_fastopen', '0x602', { tcpFastopen: 0x602 }],
    ['net.ipv4.tcp_sack', '0', { tcpSack: false }],
    ['net.ipv4.tcp_rmem', '4096 65536\t131072', { tcpRmem: [4096, 65_536, 131_072] }],
    [
      'net.ipv4.ip_local_reserved_ports',
      '8080,9000-9010',
      {
        ipLocalReservedPorts: [
          [8080, 8080],
          [9000, 9010],
        ],
      },
    ],
    ['net.ipv4.tcp_congestion_control', 'reno', { tcpCongestionControl: 'reno' }],
  ])('%s = %s', (name, text, change) => {
    expect(parseTcpSysctl(name, text)).toEqual(change);
  });

  test.each([
    ['net.ipv4.tcp_sack', '2', /"2" is not a whole number from 0 to 1/],
    ['net.ipv4.tcp_sack', '-1', /not a whole number/],
    ['net.ipv4.tcp_rmem', '1 2', /not 3 whole numbers/],
    ['net.ipv4.tcp_rmem', '8192 4096 16384', /must not go down/],
    ['net.ipv4.tcp_congestion_control', 'bic', /no congestion control "bic"/],
    ['net.ipv4.ip_local_reserved_ports', '9-1', /no port or range/],
    ['net.ipv4.tcp_fastopen_key', 'secret', /not one or two keys/],
    ['net.ipv4.tcp_nonsense', '1', /no such key/],
  ])('%s = %s is refused', (name, text, why) => {
    expect(parseTcpSysctl(name, text)).toMatchObject({ message: expect.stringMatching(why) });
  });
});
