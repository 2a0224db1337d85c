import { maskOf, parseCidr, parseMac } from '@skbus/skb';
import { FilterFailure } from './failure.ts';
import type { Token } from './lexer.ts';

/** A number as C writes it: decimal, 0x1f, 0b101, 017. */
export function parseNumber(token: Token, max: number, whose: string): number {
  const { text } = token;
  if (token.kind === 'char') return text.codePointAt(0)!;
  if (token.kind === 'string') throw new FilterFailure(token, `${whose} is a number; leave the quotes out`);
  if (/^0[0-7]+$/.test(text)) return inRange(Number.parseInt(text, 8), token, max, whose);
  if (!/^(0x[0-9a-f]+|0b[01]+|0|[1-9]\d*)$/i.test(text))
    throw new FilterFailure(token, `${whose} is a number, and '${text}' is none`);
  return inRange(Number(text), token, max, whose);
}

function inRange(value: number, token: Token, max: number, whose: string): number {
  if (value > max) throw new FilterFailure(token, `${token.text} is too big for ${whose}, which is at most ${max}`);
  return value;
}

/** 1, 0, True or False; any other number is true. */
export function parseBool(token: Token, whose: string): number {
  if (/^true$/i.test(token.text)) return 1;
  if (/^false$/i.test(token.text)) return 0;
  return parseNumber(token, Number.MAX_SAFE_INTEGER, whose) === 0 ? 0 : 1;
}

/** An address, of which `mask` says how much counts: 10.77.0.0/24. */
export function parseAddress(token: Token, whose: string): { value: number; mask: number } {
  const parsed = token.kind === 'word' ? parseCidr(token.text) : undefined;
  if (parsed === undefined)
    throw new FilterFailure(
      token,
      `${whose} is an IPv4 address, like 10.77.0.1 or 10.77.0.0/24, and '${token.text}' is none`,
    );
  const mask = maskOf(parsed.len);
  return { value: (parsed.addr & mask) >>> 0, mask };
}

/** 02:00:0a:4d:00:01, with dashes, or 0200.0a4d.0001. */
export function parseEther(token: Token, whose: string): number {
  const hex = /^[0-9a-f]{4}(\.[0-9a-f]{4}){2}$/i.test(token.text)
    ? token.text.replaceAll('.', '').replace(/..(?=.)/g, '$&:')
    : token.text;
  const mac = token.kind === 'word' ? parseMac(hex.replaceAll('-', ':')) : undefined;
  if (mac === undefined)
    throw new FilterFailure(
      token,
      `${whose} is an Ethernet address, like 02:00:0a:4d:00:01, and '${token.text}' is none`,
    );
  return mac;
}

/** A string's bytes, or hexadecimal ones: de:ad:be:ef, de-ad, dead, 0xde. Digits alone are hexadecimal too, as in Wireshark. */
export function parseBytes(token: Token, whose: string): Uint8Array {
  const { text } = token;
  if (token.kind !== 'word') return Uint8Array.from(text, (c) => c.codePointAt(0)!);
  const one = /^(?:0x)?([0-9a-f]{1,2})$/i.exec(text);
  if (one) return Uint8Array.of(Number.parseInt(one[1]!, 16));
  if (!/^[0-9a-f]{2}(?:[:.-]?[0-9a-f]{2})*$/i.test(text))
    throw new FilterFailure(token, `${whose} is bytes, like de:ad or "text", and '${text}' is neither`);
  return Uint8Array.from(text.match(/[0-9a-f]{2}/gi)!, (h) => Number.parseInt(h, 16));
}
