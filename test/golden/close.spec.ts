import { expect, test } from '@jest/globals';
import { established } from './established.ts';
import { passed, path } from './golden.ts';

const OUT = `
  ip: ip_queue_xmit __ip_queue_xmit ip_local_out __ip_local_out dst_output ip_output ip_finish_output ip_finish_output2
    neigh_hh_output
  nic: dev_queue_xmit net_dev_queue validate_xmit_skb dev_hard_start_xmit net_dev_start_xmit
    ndo_start_xmit tun_net_xmit net_dev_xmit`;

const IN = `
  nic: tun_get_user eth_type_trans napi_gro_receive netif_receive_skb __netif_receive_skb_core
  ip: ip_rcv ip_rcv_core ip_rcv_finish ip_route_input_noref ip_local_deliver ip_local_deliver_finish ip_protocol_deliver_rcu
  tcp: tcp_v4_rcv __inet_lookup_skb`;

const CLOSE = `socket: sock_close __sock_release inet_release tcp_close
  tcp: __tcp_close
    tcp_set_state inet_sock_set_state
    tcp_send_fin __tcp_push_pending_frames tcp_write_xmit tcp_transmit_skb tcp_event_new_data_sent`;

test('close: FIN out, its ACK in, FIN in, ACK out, TIME-WAIT; and the same from the other side', () => {
  const { net, a, b, onA, onB, fdA, fdB } = established();
  onA.close(fdA);
  net.runFor(0);
  expect(passed(a)).toEqual(path`
    ${CLOSE}
    ${OUT}
  `);

  net.runFor(500);
  expect(passed(b)).toEqual(path`
    ${IN}
      tcp_v4_do_rcv tcp_rcv_established tcp_probe tcp_validate_incoming
      tcp_ack tcp_ack_update_window
      tcp_urg tcp_data_queue
      tcp_queue_rcv tcp_fin tcp_set_state inet_sock_set_state tcp_data_ready tcp_data_snd_check
    socket: sk_state_change // once the stream has ended here, too; the kernel calls it in tcp_fin
    tcp: tcp_ack_snd_check // once the socket layer has it
      tcp_delack_timer tcp_send_ack tcp_transmit_skb
    ${OUT}
  `);
  expect(passed(a)).toEqual(path`
    ${IN}
      tcp_v4_do_rcv tcp_rcv_state_process tcp_validate_incoming
      tcp_ack tcp_ack_update_window tcp_clean_rtx_queue tcp_cong_control
      tcp_set_state inet_sock_set_state // FIN_WAIT2, which an orphan waits for as a TIME-WAIT
      tcp_time_wait tcp_set_state inet_sock_set_state
  `);

  onB.close(fdB);
  net.runFor(0);
  expect(passed(b)).toEqual(path`
    ${CLOSE}
    ${OUT}
  `);
  net.runFor(500);
  expect(passed(a)).toEqual(path`
    ${IN}
      tcp_timewait_state_process tcp_v4_send_ack
    ${OUT}
  `);
  expect(passed(b)).toEqual(path`
    ${IN}
      tcp_v4_do_rcv tcp_rcv_state_process tcp_validate_incoming
      tcp_ack tcp_ack_update_window tcp_clean_rtx_queue tcp_cong_control
      tcp_set_state inet_sock_set_state
  `);
});

test('the states of both sides, by inet_sock_set_state', () => {
  const { net, a, b, onA, onB, fdA, fdB } = established();
  onA.close(fdA);
  net.runFor(500);
  onB.close(fdB);
  net.runFor(500);
  const states = (h: typeof a): unknown[] =>
    h.hits.filter((hit) => hit.point === 'inet_sock_set_state').map((hit) => hit.detail?.['newstate']);
  expect(states(a)).toEqual(['TCP_FIN_WAIT1', 'TCP_FIN_WAIT2', 'TCP_CLOSE']);
  expect(states(b)).toEqual(['TCP_CLOSE_WAIT', 'TCP_LAST_ACK', 'TCP_CLOSE']);
});
