import { NatsBus } from '@skbus/bus';
import { pb, subjects } from '@skbus/contracts';
const bus = await NatsBus.connect({ url: 'nats://127.0.0.1:14555', name: 'boot' });
const call = async (layer, name, params = {}) => {
  const r = pb.InitcallReply.decode(await bus.request(subjects.ctl('zz', layer, 'initcall'), pb.InitcallRequest.encode({ name, params, replay: process.argv[2] === 'replay' }).finish(), 5000));
  console.log(layer, name, r.errno, r.message, r.printk.join(' | '));
};
if (process.argv[2] !== 'replay') {
await call('nic', 'net_dev_init'); await call('neigh', 'neigh_init'); await call('ip','fib_rules_init'); await call('nic','ipv4_offload_init');
}
await call('ip','ip_static_sysctl_init'); await call('ip','inet_add_protocol(&icmp_protocol)');
if (process.argv[2] !== 'replay') await call('neigh','arp_init');
for (const n of ['ip_init','init_ipv4_mibs','icmp_init','ipfrag_init','dev_add_pack(&ip_packet_type)']) await call('ip', n);
if (process.argv[2] !== 'replay') await call('nic','tun_init');
await call('ip','ip_auto_config',{ip:'10.77.0.2::10.77.0.1:255.255.255.0:skbus:skb0:off'});
await bus.close();
