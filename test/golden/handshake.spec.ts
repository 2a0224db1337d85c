import { AF_INET, SOCK_STREAM } from '@skbus/skb';
import { expect, test } from '@jest/globals';
import { sockAddr } from '@skbus/sim';
import { twoHosts } from '@skbus/sim';
import { neighbours } from './established.ts';
import { passed, path } from './golden.ts';

// Each list is what Linux 6.12 does, as far as it is a trace point here, layer by layer in the order of the calls. Where
// the order is ours, because a layer is a service of its own, a comment says so.

test('socket, bind, listen, accept', () => {
  const { net, b, onB } = twoHosts();
  b.trace();
  const fd = onB.socket(SOCK_STREAM);
  // TCP hears of a socket with its first operation: tcp_v4_init_sock comes with bind, not with socket.
  expect(passed(b)).toEqual(path`socket: __sys_socket inet_create`);
  onB.must({ call: 'bind', fd, addr: sockAddr(0, 80) });
  expect(passed(b)).toEqual(path`
    socket: __sys_bind inet_bind
    tcp: tcp_v4_init_sock tcp_init_sock inet_csk_get_port
  `);
  onB.must({ call: 'listen', fd, backlog: 8 });
  expect(passed(b)).toEqual(path`
    socket: __sys_listen inet_listen
    tcp: inet_csk_listen_start inet_sock_set_state inet_hash
  `);
  onB.call({ call: 'accept', fd, flags: 0 }, () => {});
  net.runUntilIdle();
  expect(passed(b)).toEqual(path`socket: __sys_accept4 inet_accept inet_csk_accept inet_csk_wait_for_connect`);
});

test('connect: the SYN goes out, the SYN-ACK comes in, the ACK goes out', () => {
  const { net, a, b, link, onA, onB } = neighbours();
  onB.listen(80);
  const fd = onA.socket(SOCK_STREAM);
  a.trace();
  let done = false;
  onA.call({ call: 'connect', fd, addr: { family: AF_INET, addr: b.addr, port: 80 } }, () => (done = true));
  net.runUntil(() => link.counters.sent === 1);
  net.runFor(0);
  expect(passed(a)).toEqual(path`
    socket: __sys_connect inet_stream_connect
    tcp: tcp_v4_init_sock tcp_init_sock // with the first operation
      tcp_v4_connect ip_route_connect
    ip: ip_route_output_flow ip_route_output_key_hash_rcu fib_lookup fib_table_lookup fib_select_path __mkroute_output
    tcp: tcp_set_state inet_sock_set_state
      inet_hash_connect __inet_hash_connect secure_tcp_seq_and_ts_off
      tcp_connect tcp_connect_init tcp_connect_queue_skb tcp_transmit_skb
    socket: inet_wait_for_connect // begins to wait before the SYN has left
    ip: ip_queue_xmit __ip_queue_xmit
      // now with the source address; the kernel looks again in ip_route_newports, before tcp_connect
      ip_route_output_flow ip_route_output_key_hash_rcu fib_lookup fib_table_lookup fib_select_path __mkroute_output
      ip_local_out __ip_local_out dst_output ip_output ip_finish_output ip_finish_output2 neigh_hh_output
    nic: dev_queue_xmit net_dev_queue validate_xmit_skb dev_hard_start_xmit net_dev_start_xmit
      ndo_start_xmit tun_net_xmit net_dev_xmit
  `);
  net.runUntil(() => done);
  net.runFor(0);
  expect(passed(a)).toEqual(path`
    nic: tun_get_user eth_type_trans napi_gro_receive netif_receive_skb __netif_receive_skb_core
    ip: ip_rcv ip_rcv_core ip_rcv_finish
      ip_route_input_noref ip_route_input_slow fib_lookup fib_table_lookup fib_validate_source
      ip_local_deliver ip_local_deliver_finish ip_protocol_deliver_rcu
    tcp: tcp_v4_rcv __inet_lookup_skb tcp_v4_do_rcv tcp_rcv_state_process tcp_rcv_synsent_state_process
      tcp_ack tcp_ack_update_window tcp_clean_rtx_queue tcp_cong_control
      tcp_finish_connect tcp_set_state inet_sock_set_state sk_state_change // connect() wakes up
      tcp_send_ack tcp_transmit_skb
    ip: ip_queue_xmit __ip_queue_xmit ip_local_out __ip_local_out dst_output ip_output ip_finish_output ip_finish_output2
      neigh_hh_output
    nic: dev_queue_xmit net_dev_queue validate_xmit_skb dev_hard_start_xmit net_dev_start_xmit
      ndo_start_xmit tun_net_xmit net_dev_xmit
  `);
});

test('accept: the SYN comes in, the SYN-ACK goes out, the ACK comes in', () => {
  const { net, b, link, onA, onB } = neighbours();
  const listener = onB.listen(80);
  let accepted = -1;
  onB.call({ call: 'accept', fd: listener, flags: 0 }, (r) => (accepted = r.result));
  b.trace();
  onA.call({ call: 'connect', fd: onA.socket(SOCK_STREAM), addr: sockAddr(b.addr, 80) }, () => {});
  net.runUntil(() => link.counters.sent === 2);
  net.runFor(0);
  expect(passed(b)).toEqual(path`
    nic: tun_get_user eth_type_trans napi_gro_receive netif_receive_skb __netif_receive_skb_core
    ip: ip_rcv ip_rcv_core ip_rcv_finish
      ip_route_input_noref ip_route_input_slow fib_lookup fib_table_lookup fib_validate_source
      ip_local_deliver ip_local_deliver_finish ip_protocol_deliver_rcu
    tcp: tcp_v4_rcv __inet_lookup_skb tcp_v4_do_rcv tcp_rcv_state_process tcp_v4_conn_request tcp_conn_request
      inet_reqsk_alloc inet_csk_reqsk_queue_hash_add tcp_v4_send_synack tcp_make_synack ip_build_and_send_pkt
    ip: ip_queue_xmit __ip_queue_xmit // all of TCP's segments come to IP by one hand-over
      // the kernel routes it before the request is hashed (tcp_v4_route_req)
      ip_route_output_flow ip_route_output_key_hash_rcu fib_lookup fib_table_lookup fib_select_path __mkroute_output
      ip_local_out __ip_local_out dst_output ip_output ip_finish_output ip_finish_output2 neigh_hh_output
    nic: dev_queue_xmit net_dev_queue validate_xmit_skb dev_hard_start_xmit net_dev_start_xmit
      ndo_start_xmit tun_net_xmit net_dev_xmit
  `);
  net.runUntil(() => accepted >= 0);
  net.runFor(0);
  expect(passed(b)).toEqual(path`
    nic: tun_get_user eth_type_trans napi_gro_receive netif_receive_skb __netif_receive_skb_core
    ip: ip_rcv ip_rcv_core ip_rcv_finish ip_route_input_noref ip_local_deliver ip_local_deliver_finish ip_protocol_deliver_rcu
    tcp: tcp_v4_rcv __inet_lookup_skb tcp_check_req tcp_v4_syn_recv_sock tcp_create_openreq_child inet_sock_set_state
      inet_csk_complete_hashdance inet_csk_reqsk_queue_add
      tcp_child_process tcp_rcv_state_process tcp_validate_incoming tcp_ack tcp_ack_update_window
      tcp_set_state inet_sock_set_state sk_state_change tcp_urg tcp_data_queue tcp_data_snd_check
    socket: sk_data_ready // of the listener: accept() wakes up
  `);
});
