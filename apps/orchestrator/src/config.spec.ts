import { describe, expect, test } from '@jest/globals';
import { addressingOf, cmdlineOf, macFor, readOrchestratorConfig } from './config.ts';

describe('configuration', () => {
  test('defaults: stack a on 10.77.0.2/24 behind 10.77.0.1', () => {
    const c = readOrchestratorConfig({});
    expect(c).toMatchObject({
      stack: 'a',
      spawn: 'processes',
      apiPort: 7070,
      socksPort: 1080,
      httpProxyPort: 0,
      backend: 'auto',
      offload: true,
      peerNetns: 'skbus-peer',
      natsUrl: undefined,
    });
    expect(c.cmdline.text).toBe('ip=10.77.0.2::10.77.0.1:255.255.255.0::skb0:off');
    expect(addressingOf(c.cmdline)).toEqual({ address: '10.77.0.2', peer: '10.77.0.1', peerCidr: '10.77.0.1/24' });
    expect(macFor('10.77.0.2')).toBe('02:00:0a:4d:00:02');
  });

  test('another stack has a peer of its own', () => {
    expect(readOrchestratorConfig({ SKBUS_NETNS: 'lab' }).peerNetns).toBe('skbus-peer-lab');
  });

  test('ip= on the command line takes the place of the default', () => {
    const line = cmdlineOf('initcall_debug ip=192.168.5.9::192.168.5.1:255.255.254.0::skb0:off', '10.77.0.2');
    expect(line.text).toBe('initcall_debug ip=192.168.5.9::192.168.5.1:255.255.254.0::skb0:off');
    expect(addressingOf(line)!.peerCidr).toBe('192.168.5.1/23');
    expect(addressingOf(cmdlineOf('ip=off', '10.77.0.2'))).toBeUndefined();
  });

  test.each([
    [{ SKBUS_NETNS: 'A B' }, 'SKBUS_NETNS must be 1 to 32'],
    [{ SKBUS_API_PORT: 'x' }, 'SKBUS_API_PORT must be a port number'],
    [{ SKBUS_SOCKS_PORT: '70000' }, 'SKBUS_SOCKS_PORT'],
    [{ SKBUS_NATS_URL: 'http://x' }, 'SKBUS_NATS_URL must look like'],
    [{ SKBUS_NIC_BACKEND: 'eth' }, 'SKBUS_NIC_BACKEND'],
    [{ SKBUS_NIC_BACKEND: 'udp' }, 'SKBUS_NIC_UDP_LOCAL and SKBUS_NIC_UDP_PEER'],
    [{ SKBUS_APPEND: 'ip=10.0.0.x' }, '--append: ip=: client-ip "10.0.0.x" is not an IPv4 address'],
    [{ SKBUS_PEER_NETNS: '../x y' }, 'SKBUS_PEER_NETNS'],
  ])('%o names the variable', (env, why) => {
    expect(() => readOrchestratorConfig(env)).toThrow(why);
  });

  test('an empty variable is one that is not set', () => {
    expect(readOrchestratorConfig({ SKBUS_API_PORT: '', SKBUS_NIC_BACKEND: '' })).toMatchObject({
      apiPort: 7070,
      backend: 'auto',
    });
  });
});
