import { generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';

/** A certificate and its private key, as PEM. */
export interface Certificate {
  cert: string;
  key: string;
}

const DAY_MS = 86_400_000;
const VALID_DAYS = 365;
/** One that is about to run out is made anew. */
const RENEW_DAYS = 30;

/**
 * A self-signed certificate (X.509 v3, RFC 5280; P-256, RFC 5480) for these names and addresses: whoever is to trust it is
 * given the certificate itself as the authority.
 */
export function makeCertificate(name: string, hosts: readonly string[], nowMs: number): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = sequence(set(sequence(OID.commonName, der(0x0c, Buffer.from(name)))));
  const tbs = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    // Positive, and not two alike (RFC 5280 4.1.2.2).
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    sequence(OID.ecdsaWithSha256),
    issuer,
    // A clock that is a little behind ours must not refuse it.
    sequence(time(nowMs - DAY_MS), time(nowMs + VALID_DAYS * DAY_MS)),
    issuer,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions(hosts))),
  );
  const signature = sign('sha256', tbs, privateKey);
  const whole = sequence(tbs, sequence(OID.ecdsaWithSha256), der(0x03, Buffer.from([0]), signature));
  return { cert: pem('CERTIFICATE', whole), key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

/** The certificate in these files if it is there and fits, else a new one, written there (the key with mode 0600). */
export function ensureCertificate(
  files: { cert: string; key: string },
  name: string,
  hosts: readonly string[],
  nowMs: number,
): Certificate {
  if (existsSync(files.cert) && existsSync(files.key)) {
    const there = { cert: readFileSync(files.cert, 'utf8'), key: readFileSync(files.key, 'utf8') };
    if (fits(there, hosts, nowMs)) return there;
  }
  const made = makeCertificate(name, hosts, nowMs);
  writeFileSync(files.key, made.key, { mode: 0o600 });
  writeFileSync(files.cert, made.cert, { mode: 0o644 });
  return made;
}

function fits({ cert }: Certificate, hosts: readonly string[], nowMs: number): boolean {
  try {
    const x = new X509Certificate(cert);
    const named = hosts.every((h) => (isIP(h) ? x.checkIP(h) : x.checkHost(h)) !== undefined);
    return named && Date.parse(x.validTo) - nowMs > RENEW_DAYS * DAY_MS;
  } catch {
    return false;
  }
}

function der(tag: number, ...content: Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  const n = body.length;
  if (n < 0x80) return Buffer.concat([Buffer.from([tag, n]), body]);
  const length = n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

const sequence = (...parts: Uint8Array[]): Buffer => der(0x30, ...parts);
const set = (...parts: Uint8Array[]): Buffer => der(0x31, ...parts);
const integer = (bytes: Uint8Array): Buffer => der(0x02, bytes);
const octets = (...parts: Uint8Array[]): Buffer => der(0x04, ...parts);
const TRUE = der(0x01, Buffer.from([0xff]));

const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const OID = {
  /** 2.5.4.3 */
  commonName: oid('550403'),
  /** 1.2.840.10045.4.3.2 */
  ecdsaWithSha256: oid('2a8648ce3d040302'),
  /** 2.5.29.17, .19, .15 and .37 */
  subjectAltName: oid('551d11'),
  basicConstraints: oid('551d13'),
  keyUsage: oid('551d0f'),
  extKeyUsage: oid('551d25'),
  /** 1.3.6.1.5.5.7.3.1 */
  serverAuth: oid('2b06010505070301'),
};

function extensions(hosts: readonly string[]): Buffer[] {
  const names = hosts.map((h) => (isIP(h) ? der(0x87, addressBytes(h)) : der(0x82, Buffer.from(h))));
  return [
    sequence(OID.basicConstraints, TRUE, octets(sequence(TRUE))),
    // digitalSignature and keyCertSign: bits 0 and 5.
    sequence(OID.keyUsage, TRUE, octets(der(0x03, Buffer.from([2, 0x84])))),
    sequence(OID.extKeyUsage, octets(sequence(OID.serverAuth))),
    sequence(OID.subjectAltName, octets(sequence(...names))),
  ];
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = address.split('::');
  const words = (s: string): string[] => (s === '' ? [] : s.split(':'));
  const [front, back] = [words(head), words(tail ?? '')];
  const gap = tail === undefined ? 0 : 8 - front.length - back.length;
  const all = [...front, ...Array<string>(gap).fill('0'), ...back];
  return Buffer.from(all.map((w) => w.padStart(4, '0')).join(''), 'hex');
}

/** UTCTime until 2049, GeneralizedTime from then on (RFC 5280 4.1.2.5). */
function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return Number(text.slice(0, 4)) < 2050 ? der(0x17, Buffer.from(text.slice(2))) : der(0x18, Buffer.from(text));
}

const pem = (label: string, bytes: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${Buffer.from(bytes)
    .toString('base64')
    .replaceAll(/.{64}(?=.)/g, '$&\n')}\n-----END ${label}-----\n`;
