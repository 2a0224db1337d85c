import { expect, test } from '@jest/globals';
import { pattern } from '@skbus/sim';
import { established } from './established.ts';
import { ofSkb, passed, path } from './golden.ts';

const OUT = `
  ip: ip_queue_xmit __ip_queue_xmit ip_local_out __ip_local_out dst_output ip_output ip_finish_output ip_finish_output2
    neigh_hh_output
  nic: dev_queue_xmit net_dev_queue validate_xmit_skb dev_hard_start_xmit net_dev_start_xmit
    ndo_start_xmit tun_net_xmit net_dev_xmit`;

const IN = `
  nic: tun_get_user eth_type_trans napi_gro_receive netif_receive_skb __netif_receive_skb_core
  ip: ip_rcv ip_rcv_core ip_rcv_finish ip_route_input_noref ip_local_deliver ip_local_deliver_finish ip_protocol_deliver_rcu
  tcp: tcp_v4_rcv __inet_lookup_skb tcp_v4_do_rcv`;

test('send: one segment down to ndo_start_xmit', () => {
  const { net, a, onA, fdA } = established();
  onA.must({ call: 'sendto', fd: fdA, data: [pattern(0, 100)], flags: 0, to: undefined });
  net.runFor(0);
  const { skb } = a.hits.find((h) => h.point === 'tcp_transmit_skb')!;
  const journey = a.hits.filter(ofSkb(skb)).map((h) => h.layer);
  expect(passed(a)).toEqual(path`
    socket: __sys_sendto __sock_sendmsg inet_sendmsg tcp_sendmsg tcp_sendmsg_locked
    tcp: tcp_push __tcp_push_pending_frames tcp_write_xmit tcp_transmit_skb tcp_event_new_data_sent
    ${OUT}
  `);
  // One skb all the way: the id it gets in TCP is the id that the driver sees.
  expect([...new Set(journey)]).toEqual(['tcp', 'ip', 'nic']);
});

test('receive: one segment up to sk_data_ready and a recv that waits, and its ACK down', () => {
  const { net, b, onA, onB, fdA, fdB } = established();
  onB.call({ call: 'recvfrom', fd: fdB, len: 1000, flags: 0 }, () => {});
  net.runFor(0);
  expect(passed(b)).toEqual(path`
    socket: __sys_recvfrom sock_recvmsg inet_recvmsg tcp_recvmsg tcp_recvmsg_locked sk_wait_data
  `);
  onA.must({ call: 'sendto', fd: fdA, data: [pattern(0, 100)], flags: 0, to: undefined });
  net.runFor(500);
  expect(passed(b)).toEqual(path`
    ${IN}
      // acknowledges nothing new, so no tcp_ack and no tcp_data_snd_check
      tcp_rcv_established tcp_probe tcp_queue_rcv tcp_event_data_recv tcp_data_ready
    socket: sk_data_ready tcp_rcv_space_adjust tcp_cleanup_rbuf
    tcp: tcp_ack_snd_check // once the socket layer has it
      tcp_delack_timer tcp_send_ack tcp_transmit_skb
    ${OUT}
  `);
});

test('receive: with an acknowledgement in the segment, and recv after it', () => {
  const { net, a, onA, onB, fdA, fdB } = established();
  onA.must({ call: 'sendto', fd: fdA, data: [pattern(0, 100)], flags: 0, to: undefined });
  onB.must({ call: 'recvfrom', fd: fdB, len: 1000, flags: 0 });
  passed(a);
  onB.must({ call: 'sendto', fd: fdB, data: [pattern(0, 50)], flags: 0, to: undefined });
  net.runFor(4); // the confirmation waits two milliseconds for an answer to travel with
  expect(passed(a)).toEqual(path`
    ${IN}
      tcp_rcv_established tcp_probe tcp_queue_rcv tcp_event_data_recv
      tcp_ack tcp_clean_rtx_queue tcp_cong_control tcp_data_snd_check tcp_data_ready
    socket: sk_data_ready
    tcp: tcp_ack_snd_check tcp_send_ack tcp_transmit_skb // a young connection acknowledges at once
    ${OUT}
  `);
  onA.must({ call: 'recvfrom', fd: fdA, len: 1000, flags: 0 });
  net.runFor(0);
  expect(passed(a)).toEqual(path`
    socket: __sys_recvfrom sock_recvmsg inet_recvmsg tcp_recvmsg tcp_recvmsg_locked tcp_rcv_space_adjust tcp_cleanup_rbuf
  `);
});

test('receive: out of order, then the hole is filled', () => {
  const { net, b, link, onA, fdA } = established();
  link.drop = () => true;
  onA.must({ call: 'sendto', fd: fdA, data: [pattern(0, 1448)], flags: 0, to: undefined });
  net.runFor(0);
  link.drop = undefined;
  onA.must({ call: 'sendto', fd: fdA, data: [pattern(1448, 1448)], flags: 0, to: undefined });
  net.runFor(1);
  expect(passed(b)).toEqual(path`
    ${IN}
      tcp_rcv_established tcp_probe tcp_validate_incoming tcp_ack tcp_ack_update_window tcp_urg
      tcp_data_queue tcp_data_queue_ofo tcp_data_snd_check
      tcp_ack_snd_check tcp_send_ack tcp_transmit_skb // a duplicate ACK, at the end of the batch
    ${OUT}
  `);
  net.runUntilIdle();
  expect(passed(b, (h) => h.layer === 'tcp' || h.layer === 'socket').slice(0, 16)).toEqual(path`
    tcp: tcp_v4_rcv __inet_lookup_skb tcp_v4_do_rcv
      tcp_rcv_established tcp_probe tcp_validate_incoming tcp_ack tcp_ack_update_window tcp_urg
      tcp_data_queue tcp_queue_rcv tcp_event_data_recv tcp_data_ready tcp_data_snd_check
    socket: sk_data_ready sk_data_ready // the segment, and what waited behind it
  `);
});
