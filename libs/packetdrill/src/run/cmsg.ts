import type { Expr } from '../lang/ast.ts';
import { printExpr } from '../lang/print.ts';
import type { SysCmsg } from '../sys.ts';
import { field, number } from './values.ts';

/** How recvmsg's control messages differ from the script's. */
export function cmsgDifference(expected: readonly Expr[], got: readonly SysCmsg[]): string | undefined {
  if (expected.length !== got.length)
    return `control messages: expected ${expected.length}, and there are ${got.length}`;
  for (const [i, e] of expected.entries()) {
    const c = got[i]!;
    const level = field(e, 'cmsg_level');
    const type = field(e, 'cmsg_type');
    const want = `level ${level === undefined ? '?' : number(level)} type ${type === undefined ? '?' : number(type)}`;
    if (want !== `level ${c.level} type ${c.type}`)
      return `control message ${i}: expected ${want}, and it is level ${c.level} type ${c.type}`;
    const data = field(e, 'cmsg_data');
    const problem = data === undefined ? undefined : dataDifference(data, c.data);
    if (problem !== undefined) return `control message ${i}: ${problem}`;
  }
  return undefined;
}

/** struct sock_extended_err: the fields' offsets and sizes. */
const SOCK_EXTENDED_ERR: Readonly<Record<string, readonly [number, 1 | 4]>> = {
  ee_errno: [0, 4],
  ee_origin: [4, 1],
  ee_type: [5, 1],
  ee_code: [6, 1],
  ee_info: [8, 4],
  ee_data: [12, 4],
};

function dataDifference(want: Expr, got: Uint8Array): string | undefined {
  const view = new DataView(got.buffer, got.byteOffset, got.byteLength);
  if (want.kind === 'ellipsis') return undefined;
  if (want.kind !== 'struct') {
    const have = got.length >= 4 ? view.getInt32(0, true) : (got[0] ?? Number.NaN);
    return number(want) === have ? undefined : `expected ${printExpr(want)}, and it is ${have}`;
  }
  for (const f of want.fields) {
    const place = f.name === undefined ? undefined : SOCK_EXTENDED_ERR[f.name];
    if (place === undefined || f.value.kind === 'ellipsis') continue;
    const [at, size] = place;
    if (at + size > got.length) return `${f.name} is missing`;
    const have = size === 1 ? got[at]! : view.getUint32(at, true);
    if (number(f.value) !== have) return `${f.name}: expected ${printExpr(f.value)}, and it is ${have}`;
  }
  return undefined;
}
