import * as frames from './frames.ts';
import * as linkData from './link-data.ts';
import * as peer from './peer-data.ts';
import type { Parsed, Schema } from './schema.ts';
import * as token from './token/claims.ts';
import type * as wire from './wire.ts';
import type * as z from 'zod/mini';

/**
 * The schemas as this package shows them: under the types of wire.ts, so that no version of zod is
 * part of anybody's declarations. Each is built at its first use: to build all of them takes a
 * third of Node's own start, and a program that imports the SDK may connect much later, or never.
 */
export const frameToRelay: Schema<wire.FrameToRelay> = as<wire.FrameToRelay>()(frames.frameToRelay);
export const frameFromRelay: Schema<wire.FrameFromRelay> = as<wire.FrameFromRelay>()(frames.frameFromRelay);
export const peerClaims: Schema<wire.PeerClaims> = as<wire.PeerClaims>()(frames.peerClaims);
export const peerData: Schema<wire.PeerData> = as<wire.PeerData>()(peer.peerData);
export const hello: Schema<wire.Hello> = as<wire.Hello>()(linkData.hello);
export const pathAnswer: Schema<wire.PathAnswer> = as<wire.PathAnswer>()(linkData.pathAnswer);
export const messageMeta: Schema<wire.MessageMeta> = as<wire.MessageMeta>()(linkData.messageMeta);
export const roomClaims: Schema<wire.RoomClaims> = as<wire.RoomClaims>()(token.roomClaims);

const namesToRelay: Record<wire.FrameToRelay['type'], true> = {
  join: true,
  check: true,
  signal: true,
  token: true,
  invite: true,
  revoke: true,
  connected: true,
  failed: true,
  leave: true,
  ping: true,
};
export const typesToRelay: ReadonlySet<string> = new Set(Object.keys(namesToRelay));

type Plain<T> = T extends object ? { [Member in keyof T]: Plain<T[Member]> } : T;
/** `unknown` for two types that are the same, optional members included; otherwise `never`. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- compares without assigning
type Same<A, B> = (<T>() => T extends Plain<A> ? 1 : 2) extends <T>() => T extends Plain<B> ? 1 : 2 ? unknown : never;

/**
 * Gives a schema its hand-written type. `Same` has the compiler refuse one that is not what the
 * schema infers; the cast only hides zod's own type.
 */
function as<T>() {
  return <S extends z.ZodMiniType>(schema: () => S & Same<z.infer<S>, T>): Schema<T> => ({
    safeParse: (value) => schema().safeParse(value) as Parsed<T>,
    parse: (value) => schema().parse(value) as T,
  });
}
