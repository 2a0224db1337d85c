import { errno, O_CLOEXEC, O_NONBLOCK, O_RDWR, sys, SysError } from './libc.ts';

/**
 * A descriptor of /dev/net/tun, attached to no device yet. It belongs to the network namespace in which it is opened, and so
 * does the device that TUNSETIFF makes with it, whoever calls that.
 */
export function openTun(): number {
  const fd = sys.open('/dev/net/tun', O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0) return fd;
  const code = errno();
  if (code === 2 || code === 6 || code === 19)
    throw new Error('/dev/net/tun is missing: load the tun module (modprobe tun), or use --nic wire');
  if (code === 1 || code === 13) throw new Error('/dev/net/tun: permission denied: run as root, or use --nic wire');
  throw new SysError('/dev/net/tun', code);
}
