import { primitives } from './primitives.ts';

/**
 * The Noise Protocol Framework, revision 34, for the two patterns that the relayed path uses:
 *
 *     NN:      -> e            <- e, ee
 *     NNpsk0:  -> psk, e       <- e, ee
 *
 * with 25519, AESGCM and SHA256 (§12). This file is the state machine of §5 and nothing else.
 */
export const noisePublicKeyBytes = 32;
export const noiseTagBytes = 16;

/** Each key ends before a nonce could repeat; §5.1 reserves the largest one. */
const lastNonce = 2n ** 64n - 1n;
const empty = new Uint8Array(0);

/**
 * A message did not decrypt, is too short, or came out of turn. The path that it came on is dead.
 */
export class NoiseError extends Error {
  override readonly name = 'NoiseError';
}

/** A key of one direction, with the number of the next message (§5.1, CipherState). */
export class NoiseCipher {
  readonly #key: Uint8Array;
  #nonce = 0n;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  seal(plaintext: Uint8Array, associated: Uint8Array = empty): Uint8Array {
    return primitives().seal(this.#key, this.#nextNonce(), associated, plaintext);
  }

  /** @throws NoiseError when the text was not sealed with this key, number and associated data */
  open(ciphertext: Uint8Array, associated: Uint8Array = empty): Uint8Array {
    if (ciphertext.byteLength < noiseTagBytes) throw new NoiseError('An encrypted message is too short.');
    // A failure leaves the number as it was (§5.1), although no caller goes on after one.
    const nonce = this.#nonce;
    try {
      return primitives().open(this.#key, this.#nextNonce(), associated, ciphertext);
    } catch (cause) {
      this.#nonce = nonce;
      throw new NoiseError('A message does not decrypt.', { cause });
    }
  }

  /** 32 zero bits and the big-endian number (§12.3). */
  #nextNonce(): Uint8Array {
    if (this.#nonce >= lastNonce) throw new NoiseError('The key has sealed as many messages as it may.');
    const nonce = new Uint8Array(12);
    new DataView(nonce.buffer).setBigUint64(4, this.#nonce++);
    return nonce;
  }
}

export interface NoiseOptions {
  initiator: boolean;
  /** What both sides must agree on without sending it. */
  prologue: Uint8Array;
  /** 32 bytes that both sides know: pattern NNpsk0. Without them the pattern is NN. */
  psk?: Uint8Array | undefined;
  /** The ephemeral private key, for test vectors. Default: a random one. */
  ephemeral?: Uint8Array | undefined;
}

/** The keys of a finished handshake, and its hash, which names this channel (§11.2). */
export interface NoiseSession {
  send: NoiseCipher;
  receive: NoiseCipher;
  handshakeHash: Uint8Array;
  /** A secret of both sides for other uses: the third output of the function behind Split. */
  exported: Uint8Array;
}

/**
 * One handshake of two messages: the initiator calls `write()` and `read()`, the responder `read()`
 * and `write()`; then `split()` returns the keys.
 */
export class NoiseHandshake {
  readonly #initiator: boolean;
  readonly #psk: Uint8Array | undefined;
  readonly #ephemeral: Uint8Array;
  #remote: Uint8Array | undefined;
  #chainingKey: Uint8Array;
  #hash: Uint8Array;
  #cipher: NoiseCipher | undefined;
  #step: 'first' | 'second' | 'finished' = 'first';

  constructor({ initiator, prologue, psk, ephemeral }: NoiseOptions) {
    if (psk !== undefined && psk.byteLength !== 32) throw new NoiseError('A pre-shared key has 32 bytes.');
    this.#initiator = initiator;
    this.#psk = psk;
    this.#ephemeral = ephemeral ?? primitives().randomSecretKey();
    // A name of 32 bytes or less is padded with zeros, not hashed (§5.2).
    const name = new TextEncoder().encode(`Noise_NN${psk ? 'psk0' : ''}_25519_AESGCM_SHA256`);
    this.#hash = name.byteLength <= 32 ? concat(name, new Uint8Array(32 - name.byteLength)) : primitives().sha256(name);
    this.#chainingKey = this.#hash;
    this.#mixHash(prologue);
  }

  /** The next message of this side, with a payload. The first one of NN is not encrypted. */
  write(payload: Uint8Array = empty): Uint8Array {
    const first = this.#begin(this.#initiator);
    if (first) this.#mixPsk();
    const publicKey = primitives().publicKey(this.#ephemeral);
    this.#mixPublicKey(publicKey);
    if (!first) this.#mixSharedKey();
    return concat(publicKey, this.#seal(payload));
  }

  /**
   * Takes the other side's message and returns its payload.
   *
   * @throws NoiseError when it does not decrypt: another psk or prologue, or a changed message
   */
  read(message: Uint8Array): Uint8Array {
    const first = this.#begin(!this.#initiator);
    if (message.byteLength < noisePublicKeyBytes) throw new NoiseError('A handshake message is too short.');
    if (first) this.#mixPsk();
    this.#remote = message.slice(0, noisePublicKeyBytes);
    this.#mixPublicKey(this.#remote);
    if (!first) this.#mixSharedKey();
    return this.#open(message.subarray(noisePublicKeyBytes));
  }

  /** The keys of both directions (§5.2, Split). The initiator sends with the first one. */
  split(): NoiseSession {
    if (this.#step !== 'finished') throw new NoiseError('The handshake is not finished.');
    const [first, second, exported] = this.#derive(empty, 3);
    const [send, receive] = this.#initiator ? [first, second] : [second, first];
    return {
      send: new NoiseCipher(send!),
      receive: new NoiseCipher(receive!),
      handshakeHash: this.#hash,
      exported: exported!,
    };
  }

  /**
   * Moves on by one message; true for the first one. A side that is not due has a fault of its own.
   */
  #begin(initiators: boolean): boolean {
    if (initiators !== (this.#step === 'first') || this.#step === 'finished') {
      throw new NoiseError('A handshake message is out of turn.');
    }
    const first = this.#step === 'first';
    this.#step = first ? 'second' : 'finished';
    return first;
  }

  #mixPublicKey(publicKey: Uint8Array): void {
    this.#mixHash(publicKey);
    // With a psk the ephemeral keys also enter the chain (§9.2): a psk alone must not be the whole
    // key.
    if (this.#psk) this.#mixKey(publicKey);
  }

  #mixPsk(): void {
    if (!this.#psk) return;
    const [chainingKey, hash, key] = this.#derive(this.#psk, 3);
    this.#chainingKey = chainingKey!;
    this.#mixHash(hash!);
    this.#cipher = new NoiseCipher(key!);
  }

  #mixSharedKey(): void {
    try {
      this.#mixKey(primitives().sharedSecret(this.#ephemeral, this.#remote!));
    } catch (cause) {
      throw new NoiseError('The other side sent a public key that cannot be used.', { cause });
    }
  }

  #mixKey(input: Uint8Array): void {
    const [chainingKey, key] = this.#derive(input, 2);
    this.#chainingKey = chainingKey!;
    this.#cipher = new NoiseCipher(key!);
  }

  #mixHash(data: Uint8Array): void {
    this.#hash = primitives().sha256(concat(this.#hash, data));
  }

  /** Noise's HKDF (§4.3) is RFC 5869's with the chaining key as salt and no info. */
  #derive(input: Uint8Array, outputs: 2 | 3): Uint8Array[] {
    const bytes = primitives().hkdf(input, this.#chainingKey, 32 * outputs);
    return Array.from({ length: outputs }, (_, index) => bytes.slice(32 * index, 32 * (index + 1)));
  }

  #seal(plaintext: Uint8Array): Uint8Array {
    const sealed = this.#cipher ? this.#cipher.seal(plaintext, this.#hash) : plaintext;
    this.#mixHash(sealed);
    return sealed;
  }

  #open(sealed: Uint8Array): Uint8Array {
    const plaintext = this.#cipher ? this.#cipher.open(sealed, this.#hash) : sealed.slice();
    this.#mixHash(sealed);
    return plaintext;
  }
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.byteLength + second.byteLength);
  both.set(first);
  both.set(second, first.byteLength);
  return both;
}
