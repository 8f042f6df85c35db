import { SettledButton } from '../consent/button.tsx';
import { useNotice } from '../view/notice.tsx';
import { Line } from '../view/text.tsx';
import type { Inside, Operator, PeerError, Resident, Room } from './operator.ts';
import { pathOf } from './paths.ts';

/** Of a room, that are listed. */
const mostPeers = 50;

interface RoomCardProps {
  room: Room;
  inside: Inside | undefined;
  operator: Operator;
}

/**
 * A room and its peers, each of whom can be sent away, with their paths and errors as far as the
 * relay knows.
 */
export function RoomCard({ room, inside: { peers, errors } = nobody, operator }: RoomCardProps) {
  const others = errors.filter((error) => !peers.some((peer) => isOf(error, peer))).toReversed();
  const shown = peers.slice(0, mostPeers).map((peer) => ({ peer, path: pathOf(peer, peers) }));
  const notice = useNotice();
  const act = async (work: Promise<unknown>, done: string): Promise<void> => {
    try {
      await work;
      notice(done);
    } catch (error) {
      notice((error as Error).message);
    }
  };
  return (
    <article class="card" aria-label={`Room ${room.room}`}>
      <header>
        <h2>
          <Line>{room.room}</Line>
        </h2>
        {room.issuer && (
          <span class="tag">
            <Line>{room.issuer}</Line>
          </span>
        )}
        <span class="muted">
          server {room.server ?? 'absent'}, {room.clients} {room.clients === 1 ? 'client' : 'clients'}
        </span>
      </header>
      {peers.length > 0 && (
        <div class="scroll peers" tabIndex={0} role="region" aria-label={`Peers of ${room.room}`}>
          <table>
            <thead>
              <tr>
                <th scope="col">Peer</th>
                <th scope="col">Path</th>
                <th scope="col">Last error</th>
                <th scope="col">
                  <span class="hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.map(({ path, peer: { id, role, state, sub, jti, since, instance } }) => (
                <tr key={id}>
                  <td>
                    <Line most={60}>{sub}</Line> {isInvited(sub, jti, operator) && <span class="tag">invited</span>}
                    <small class="muted">
                      {role} {state} since {clock(since)} on <code>{instance}</code>
                    </small>
                  </td>
                  <td data-name="Path">{path}</td>
                  <td data-name="Last error">
                    <ErrorOf error={errors.findLast((error) => isOf(error, { role, sub }))} />
                  </td>
                  <td>
                    <div class="row">
                      <SettledButton
                        standsFor={`${id} ${sub}`}
                        label={`Kick ${sub}`}
                        onPress={() => void act(operator.kick(room, id), `${sub} was removed.`)}
                      >
                        Kick
                      </SettledButton>
                      <SettledButton
                        standsFor={`${id} ${sub} ${jti}`}
                        class="danger"
                        label={`Revoke the tokens of ${sub}`}
                        onPress={() =>
                          void act(
                            jti === undefined
                              ? operator.revoke('sub', sub, room.issuer)
                              : operator.revoke('jti', jti, room.issuer),
                            `The token of ${sub} is revoked.`,
                          )
                        }
                      >
                        Revoke
                      </SettledButton>
                    </div>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {others.length > 0 && (
        <div>
          <h3>Errors of others</h3>
          <ul class="calls" aria-label="Errors of others">
            {others.map((error) => (
              <li key={`${error.code} ${error.limit} ${error.role} ${error.sub}`}>
                <ErrorOf error={error} /> {error.role} <Line most={60}>{error.sub}</Line>
              </li>
            ))}
          </ul>
        </div>
      )}
    </article>
  );
}

const nobody: Inside = { peers: [], errors: [] };

const isOf = (error: PeerError, { role, sub }: Pick<Resident, 'role' | 'sub'>): boolean =>
  error.role === role && error.sub === sub;

const clock = (seconds: number): string => new Date(seconds * 1000).toLocaleTimeString();

function ErrorOf({ error }: { error: PeerError | undefined }) {
  if (!error) return <span class="muted">none</span>;
  return (
    <>
      <code>{error.limit ?? error.code}</code> <time>{clock(error.at)}</time> {error.times > 1 && `× ${error.times}`}
    </>
  );
}

/** Made in this page, or by the room's server: its subject is the relay's (PROTOCOL.md §3). */
const isInvited = (sub: string, jti: string | undefined, { invitations }: Operator): boolean =>
  sub.startsWith('inv:') || invitations.made.value.some(({ id }) => id === jti);
