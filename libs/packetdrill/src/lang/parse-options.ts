import type { TcpOption } from './ast.ts';
import type { Tokens } from './tokens.ts';

const ECN_FIELDS: readonly string[] = ['e0b', 'ceb', 'e1b'];

/** TCP options, from behind the '<' to and with the '>'. */
export function parseTcpOptions(t: Tokens): TcpOption[] | 'any' {
  if (t.takeKind('ellipsis') !== undefined) {
    t.expect('>');
    return 'any';
  }
  const options: TcpOption[] = [];
  if (t.take('>')) return options;
  do options.push(parseOption(t));
  while (t.take(','));
  t.expect('>', "',' or '>'");
  return options;
}

function parseOption(t: Tokens): TcpOption {
  const word = t.expectKind('word', 'a TCP option');
  switch (word.text) {
    case 'nop':
    case 'eol':
    case 'sackOK':
      return { kind: word.text };
    case 'mss':
      return { kind: 'mss', value: t.integer('an MSS', 0xffff) };
    case 'wscale':
      return { kind: 'wscale', value: t.integer('a window scale', 0xff) };
    case 'sack':
      return { kind: 'sack', blocks: parseBlocks(t) };
    case 'TS': {
      t.expect('val');
      const val = t.integer('a timestamp');
      t.expect('ecr');
      return { kind: 'ts', val, ecr: t.integer('a timestamp') };
    }
    case 'FO':
      return { kind: 'fo', data: parseHex(t) };
    case 'FOEXP':
      return { kind: 'foexp', data: parseHex(t) };
    case 'md5':
      return { kind: 'md5', data: parseHex(t) };
    case 'ECN':
      return parseAccEcn(t);
    default:
      return t.failAt(word, `'${word.text}' is no TCP option (nop eol mss wscale sackOK sack TS FO FOEXP md5 ECN)`);
  }
}

function parseBlocks(t: Tokens): [number, number][] {
  const blocks: [number, number][] = [];
  do {
    const left = t.integer('the left edge of a SACK block');
    t.expect(':');
    blocks.push([left, t.integer('the right edge of a SACK block')]);
  } while (t.peek().kind === 'int');
  return blocks;
}

/** Digits without 0x, perhaps none. */
function parseHex(t: Tokens): Uint8Array {
  const token = t.takeKind('int') ?? t.takeKind('word');
  if (token === undefined) return new Uint8Array(0);
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(token.text))
    t.failAt(token, `expected an even number of hexadecimal digits, found '${token.text}'`);
  return Uint8Array.from(token.text.match(/../g) ?? [], (h) => parseInt(h, 16));
}

/** `ECN e1b 1 ceb 0 e0b 1`: the order of the counters is the order on the wire; trailing ones may be left out. */
function parseAccEcn(t: Tokens): TcpOption {
  const fields: { name: 'e0b' | 'ceb' | 'e1b'; value: number }[] = [];
  while (t.peek().kind === 'word' && ECN_FIELDS.includes(t.peek().text)) {
    const name = t.next().text as 'e0b' | 'ceb' | 'e1b';
    fields.push({ name, value: t.integer('a counter', 0xff_ffff) });
  }
  return { kind: 'ecn', fields };
}
