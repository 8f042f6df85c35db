import { SettledButton } from '../consent/button.tsx';
import { useNotice } from '../view/notice.tsx';
import { Line } from '../view/text.tsx';
import type { Operator, Resident, Room } from './operator.ts';

interface RoomCardProps {
  room: Room;
  residents: Resident[] | undefined;
  operator: Operator;
}

/** A room and its peers, each of whom can be sent away. */
export function RoomCard({ room, residents, operator }: RoomCardProps) {
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
      {residents && residents.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label={`Peers of ${room.room}`}>
          <table>
            <thead>
              <tr>
                <th scope="col">Peer</th>
                <th scope="col">Role</th>
                <th scope="col">State</th>
                <th scope="col">Instance</th>
                <th scope="col">Since</th>
                <th scope="col">
                  <span class="hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {residents.slice(0, 50).map(({ id, role, state, sub, jti, since, instance }) => (
                <tr key={id}>
                  <td>
                    <Line most={60}>{sub}</Line>
                  </td>
                  <td>{role}</td>
                  <td>{state}</td>
                  <td>
                    <code>{instance}</code>
                  </td>
                  <td>{new Date(since * 1000).toLocaleTimeString()}</td>
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
    </article>
  );
}
