import { describe, expect, test } from '@jest/globals';
import { ERRNO, LayerEnv, NEVER, type Millis } from '@skbus/skb';
import { parseCmdline } from './cmdline.ts';
import { BootMachine, type BootAnswer, type BootRequest } from './machine.ts';
import { BOOT_TABLE, bootOrder, INITCALL_LEVELS, registersWith, replayFor } from './table.ts';

const OK: BootAnswer = { errno: 0, message: '', printk: [] };

interface Rig {
  m: BootMachine;
  trace: string[];
  log: string[];
  asked: BootRequest[];
  /** Answers what is asked until nothing is, by `answer`; `undefined` from it: the request is not answered at all. */
  drive: (now: Millis, answer?: (r: BootRequest) => BootAnswer | 'nobody' | 'later') => void;
}

function rig(cmdline = 'ip=10.77.0.2::10.77.0.1:255.255.255.0::skb0:off'): Rig {
  const trace: string[] = [];
  const log: string[] = [];
  const asked: BootRequest[] = [];
  const env = new LayerEnv({ layer: 'orchestrator', rng: { u32: () => 4 }, out: { pass: () => {} } });
  env.setTraceSink((e) => trace.push(e.detail?.level ? `${e.point} ${e.detail.level}` : e.point));
  const m = new BootMachine(env, {
    cmdline: parseCmdline(cmdline),
    banner: 'Linux version 6.12.0-skbus',
    log: (text) => log.push(text),
    patienceMs: 1000,
  });
  const drive: Rig['drive'] = (now, answer = () => OK) => {
    for (let r = m.pollRequest(); r; r = m.pollRequest()) {
      asked.push(r);
      const a = answer(r);
      if (a !== 'later') m.handleAnswer(r.id, a === 'nobody' ? undefined : a, now);
    }
  };
  return { m, trace, log, asked, drive };
}

describe('boot', () => {
  test('the golden path: the kernel calls in the kernel order', () => {
    const { m, trace, drive } = rig();
    m.start(1000);
    drive(1000);
    expect(m.state).toBe('up');
    expect(trace).toEqual([
      'start_kernel',
      'net_ns_init',
      'rest_init',
      'kernel_init',
      'kernel_init_freeable',
      'do_basic_setup',
      'do_initcalls',
      'do_initcall_level pure',
      'inet_frag_wq_init',
      'do_initcall_level core',
      'sock_init',
      'netlink_proto_init',
      'rtnetlink_init',
      'do_initcall_level postcore',
      'do_initcall_level arch',
      'do_initcall_level subsys',
      'proto_init',
      'net_dev_init',
      'loopback_net_init',
      'neigh_init',
      'fib_rules_init',
      'pktsched_init',
      'do_initcall_level fs',
      'sysctl_core_init',
      'ipv4_offload_init',
      'inet_init',
      'raw_hashinfo_init',
      'proto_register',
      'proto_register',
      'proto_register',
      'proto_register',
      'sock_register',
      'ip_static_sysctl_init',
      'inet_add_protocol',
      'inet_add_protocol',
      'inet_add_protocol',
      'inet_add_protocol',
      'inet_register_protosw',
      'inet_register_protosw',
      'inet_register_protosw',
      'inet_register_protosw',
      'arp_init',
      'neigh_table_init',
      'dev_add_pack',
      'register_netdevice_notifier',
      'ip_init',
      'ip_rt_init',
      'devinet_init',
      'register_netdevice_notifier',
      'ip_fib_init',
      'fib_trie_init',
      'fib_net_init',
      'register_netdevice_notifier',
      'inet_initpeers',
      'init_ipv4_mibs',
      'tcp_init',
      'tcp_v4_init',
      'tcp_register_congestion_control',
      'udp_init',
      'udplite4_register',
      'raw_init',
      'ping_init',
      'icmp_init',
      'ip_mr_init',
      'init_inet_pernet_ops',
      'ipv4_proc_init',
      'ipfrag_init',
      'dev_add_pack',
      'ip_tunnel_core_init',
      'af_unix_init',
      'do_initcall_level device',
      'tun_init',
      'register_netdevice',
      'do_initcall_level late',
      'tcp_congestion_default',
      'ip_auto_config',
    ]);
  });

  test('each service is asked for its own calls, one at a time, in table order', () => {
    const { m, asked, drive } = rig();
    m.start(0);
    expect(m.pollTimeout()).toBe(NEVER);
    drive(5);
    expect(asked.map((r) => `${r.to} ${r.name}`)).toEqual(
      BOOT_TABLE.filter((e) => e.owner !== 'orchestrator').map((e) => `${e.owner} ${e.name}`),
    );
    expect(asked.at(-1)!.params.ip).toBe('10.77.0.2::10.77.0.1:255.255.255.0::skb0:off');
    expect(asked.every((r) => !r.replay)).toBe(true);
  });

  test('a service that is not there yet is asked again until it answers', () => {
    const { m, asked, drive } = rig();
    m.start(0);
    drive(0, (r) => (r.name === 'sock_init' ? 'nobody' : OK));
    expect(m.pollTimeout()).toBe(100);
    m.handleTimeout(50);
    expect(m.pollRequest()).toBeUndefined();
    m.handleTimeout(100);
    drive(100);
    expect(asked.filter((r) => r.name === 'sock_init')).toHaveLength(2);
    expect(m.state).toBe('up');
  });

  test('patience ends with a sentence that names service and call', () => {
    const { m, drive } = rig();
    m.start(0);
    for (let now = 0; now <= 1200 && m.state === 'booting'; now += 100) {
      m.handleTimeout(now);
      drive(now, (r) => (r.to === 'tcp' ? 'nobody' : OK));
    }
    expect(m.failure).toEqual({
      name: 'proto_register(&tcp_prot)',
      owner: 'tcp',
      errno: ERRNO.ETIMEDOUT,
      message: 'the tcp service did not answer proto_register(&tcp_prot) within 1 s',
    });
  });

  test('an initcall that fails stops the boot', () => {
    const { m, asked, log, drive } = rig('initcall_debug');
    m.start(0);
    drive(0, (r) =>
      r.name === 'tun_init' ? { errno: 1, message: '/dev/net/tun: permission denied', printk: ['tun: no'] } : OK,
    );
    expect(m.state).toBe('failed');
    expect(m.failure!.message).toBe('tun_init of the nic service failed with EPERM: /dev/net/tun: permission denied');
    expect(asked.at(-1)!.name).toBe('tun_init');
    expect(log.slice(-3)).toEqual([
      'tun: no',
      'initcall tun_init+0x0/0x0 returned -1 after 0 usecs',
      `skbus: boot stopped: ${m.failure!.message}`,
    ]);
    m.handleTimeout(10_000);
    expect(m.pollRequest()).toBeUndefined();
  });

  test('initcall_debug prints initcalls, not the calls inside inet_init', () => {
    const { m, log, drive } = rig('initcall_debug quiet=1');
    m.start(0);
    let now = 0;
    drive(now, (r) => {
      now += 1;
      return { ...OK, printk: r.name === 'tcp_init' ? ['TCP: Hash tables configured'] : [] };
    });
    expect(log[0]).toBe('Linux version 6.12.0-skbus');
    expect(log[1]).toBe('Command line: initcall_debug quiet=1');
    expect(log[2]).toBe('Unknown kernel command line parameters "quiet=1", will be passed to user space.');
    const inet = log.indexOf('calling  inet_init+0x0/0x0 @ 1');
    expect(log[inet + 1]).toBe('TCP: Hash tables configured');
    expect(log[inet + 2]).toMatch(/^initcall inet_init\+0x0\/0x0 returned 0 after \d+ usecs$/);
    expect(log.some((l) => l.includes('tcp_init+'))).toBe(false);
  });

  test('initcall_blacklist= leaves out an initcall, and inet_init with all its calls', () => {
    const { m, asked, log, drive } = rig('initcall_blacklist=inet_init,tcp_init,nonsense');
    m.start(0);
    drive(0);
    expect(m.state).toBe('up');
    const within = BOOT_TABLE.filter((e) => e.within).map((e) => e.name);
    expect(asked.filter((r) => within.includes(r.name))).toEqual([]);
    expect(log).toContain('initcall inet_init blacklisted');
    expect(log).toContain('initcall_blacklist: tcp_init is no initcall, inet_init calls it directly');
    expect(log).toContain('initcall_blacklist: there is no initcall nonsense in this stack');
    expect(m.results.filter((r) => r.blacklisted)).toHaveLength(within.length + 1);
  });
});

describe('replay', () => {
  test('a restarted service is told its own calls and those of its tables, in table order', () => {
    expect(replayFor('ip').map((e) => e.name)).toEqual([
      'fib_rules_init',
      'ip_static_sysctl_init',
      'inet_add_protocol(&icmp_protocol)',
      'inet_add_protocol(&udp_protocol)',
      'inet_add_protocol(&tcp_protocol)',
      'ip_init',
      'init_ipv4_mibs',
      'icmp_init',
      'ipfrag_init',
      'dev_add_pack(&ip_packet_type)',
      'ip_auto_config',
    ]);
    expect(replayFor('nic').map((e) => e.name)).toEqual([
      'net_dev_init',
      'ipv4_offload_init',
      'arp_init',
      'dev_add_pack(&ip_packet_type)',
      'tun_init',
    ]);
  });

  test('after the boot: one row of calls per service, each for itself', () => {
    const { m, asked, log, drive } = rig();
    m.start(0);
    drive(0);
    asked.length = 0;
    m.restarted('ip', 50);
    m.restarted('nic', 50);
    drive(50);
    expect(m.isReplaying('ip')).toBe(false);
    expect(asked.every((r) => r.replay)).toBe(true);
    for (const layer of ['ip', 'nic'] as const) {
      const mine = replayFor(layer).map((e) => e.name);
      expect(asked.map((r) => r.name).filter((n) => mine.includes(n))).toEqual(expect.arrayContaining(mine));
    }
    expect(log.at(-1)).toMatch(/calls replayed after a restart$/);
  });

  test('a call that needs a service which is away, too, is tried again, ever slower', () => {
    const { m, asked, drive } = rig();
    m.start(0);
    drive(0);
    asked.length = 0;
    m.restarted('ip', 0);
    const nicIsAway = (r: BootRequest): BootAnswer =>
      r.name.startsWith('dev_add_pack') ? { errno: ERRNO.ENETDOWN, message: 'nic is away', printk: [] } : OK;
    drive(0, nicIsAway);
    expect(m.pollTimeout()).toBe(100);
    m.handleTimeout(100);
    drive(100, nicIsAway);
    expect(m.pollTimeout()).toBe(300);
    m.handleTimeout(300);
    drive(300);
    expect(m.isReplaying('ip')).toBe(false);
    expect(asked.filter((r) => r.name.startsWith('dev_add_pack'))).toHaveLength(3);
  });

  test('a service that dies in the middle of the boot is told again what it knew before the boot goes on', () => {
    const { m, asked, drive } = rig();
    m.start(0);
    drive(0, (r) => (r.name === 'ip_init' ? 'later' : OK));
    const stale = asked.at(-1)!;
    asked.length = 0;
    m.restarted('ip', 10);
    drive(10, (r) => (r.name === 'fib_rules_init' ? 'later' : OK));
    m.handleAnswer(stale.id, OK, 20); // from the process that is gone
    m.handleTimeout(200);
    expect(asked.map((r) => r.name)).toEqual(['fib_rules_init']);
    m.handleAnswer(asked[0]!.id, OK, 210);
    drive(210);
    expect(asked.map((r) => `${r.name}${r.replay ? ' again' : ''}`).slice(0, 6)).toEqual([
      'fib_rules_init again',
      'ip_static_sysctl_init again',
      'inet_add_protocol(&icmp_protocol) again',
      'inet_add_protocol(&udp_protocol) again',
      'inet_add_protocol(&tcp_protocol) again',
      'ip_init',
    ]);
    expect(m.state).toBe('up');
  });

  test('a second restart during a replay begins it anew', () => {
    const { m, asked, drive } = rig();
    m.start(0);
    drive(0);
    m.restarted('tcp', 1);
    drive(1, () => 'later');
    asked.length = 0;
    m.restarted('tcp', 2);
    drive(2);
    expect(asked.map((r) => r.name)).toEqual(replayFor('tcp').map((e) => e.name));
    expect(m.isReplaying('tcp')).toBe(false);
  });
});

describe('table', () => {
  test('names are unique, levels never go back, inet_init encloses its calls', () => {
    expect(new Set(BOOT_TABLE.map((e) => e.name)).size).toBe(BOOT_TABLE.length);
    const levels = BOOT_TABLE.map((e) => INITCALL_LEVELS.indexOf(e.level));
    expect(levels).toEqual(levels.toSorted((a, b) => a - b));
    const first = BOOT_TABLE.findIndex((e) => e.within);
    expect(BOOT_TABLE[first - 1]!.name).toBe('inet_init');
    expect(
      BOOT_TABLE.slice(
        first,
        BOOT_TABLE.findIndex((e) => e.name === 'af_unix_init'),
      ).every((e) => e.within),
    ).toBe(true);
  });

  test('a layer registers only with one that the boot needed before it', () => {
    const order = bootOrder();
    expect(order).toEqual(['socket', 'nic', 'neigh', 'ip', 'tcp', 'udp']);
    for (const layer of order) {
      for (const below of registersWith(layer)) expect(order.indexOf(below)).toBeLessThan(order.indexOf(layer));
    }
  });
});
