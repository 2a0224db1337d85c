import type { PyValue } from '../code/py-expr.ts';
import { PyError } from '../code/py-lexer.ts';
import { runPython } from '../code/python.ts';
import type { Target } from '../target.ts';
import { TCP_INFO_CONSTANTS } from './constants.ts';
import { decodeTcpInfo } from './tcp-info.ts';

const SOL_TCP = 6;
const TCP_INFO = 11;
/** A real machine answers at once; this only bounds what is broken. */
const REAL_CALL_US = 2_000_000;

export interface CodeContext {
  target: Target;
  /** The target's descriptor of the connection under test. */
  fd: number | undefined;
  variables: Map<string, unknown>;
  print: (line: string) => void;
}

/** Runs a %{ … }%. Returns what did not hold, with its line in the block. */
export async function runCode(text: string, cx: CodeContext): Promise<{ line: number; message: string } | undefined> {
  const info = text.includes('tcpi_') ? await tcpInfo(cx) : undefined;
  if (text.includes('tcpi_') && info === undefined)
    return { line: 0, message: 'there is no socket to ask for TCP_INFO' };
  try {
    runPython(text, {
      outer: (name) => info?.get(name) ?? TCP_INFO_CONSTANTS[name],
      variables: cx.variables as Map<string, PyValue>,
      print: cx.print,
    });
  } catch (e) {
    if (!(e instanceof PyError)) throw e;
    const seen = [...new Set(text.match(/\btcpi_\w+/g))].map((n) => `${n} = ${info?.get(n) ?? 'unknown'}`);
    return { line: e.line, message: seen.length === 0 ? e.message : `${e.message} (${seen.join(', ')})` };
  }
  return undefined;
}

async function tcpInfo({ target, fd }: CodeContext): Promise<Map<string, number> | undefined> {
  if (fd === undefined) return undefined;
  const ticket = target.sys.getsockopt(fd, SOL_TCP, TCP_INFO, 512);
  await target.wait(ticket, target.now() + (target.virtualTime ? 0 : REAL_CALL_US));
  const { result } = ticket;
  if (result === undefined || result.ret < 0 || result.opt === undefined) return undefined;
  return decodeTcpInfo(result.opt);
}
