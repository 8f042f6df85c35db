import { testToken, RawPeer } from '../../server/test/support/peer.ts';
import { eventually } from '../support/wait.ts';
import { instances, performOnRedis, returns, type Scale } from './stage.ts';
import type { Report } from './report.ts';

/** An instance is killed while a negotiation over it is under way. */
export const kill = (scale: Scale): Promise<Report> =>
  performOnRedis('an instance is killed', scale, async ({ fleet, town, sessions, report }) => {
    const victim = 1;
    // Two raw peers that will not come back, and somebody elsewhere who has to be told.
    const observer = await fleet.at(0, async () =>
      RawPeer.join(fleet.url, testToken({ room: 'ghosts', role: 'server' })),
    );
    const ghost = await fleet.at(victim, async () =>
      RawPeer.join(fleet.url, testToken({ room: 'ghosts', role: 'client' })),
    );
    await observer.sees(ghost, 'online');

    let killed = 0;
    // The offer has arrived; its answer will find no instance.
    await fleet.at(victim, () =>
      sessions.serve(fleet, 'under way', async () => {
        killed ||= performance.now();
        await fleet.kill(victim);
      }),
    );
    const negotiated = fleet.at(victim, () => sessions.join(fleet, 'under way', 'caller'));
    await eventually(() => killed > 0);
    fleet.balancer.pinned = undefined;

    await town.returned(victim);
    await town.whole();
    report.figure('presence of those who came back whole after', performance.now() - killed, 'ms');
    report.exactly('peers with a wrong view of their room', town.mistaken, 0);
    const { count, p99 } = returns(town, killed);
    report.atLeast('signaling sockets lost', count, 1);
    report.atMost('joined again, p99', p99, 5000, 'ms');
    report.exactly('times that somebody who came back was announced gone', town.announcedGone, 0);
    await negotiated;
    report.figure('the negotiation under way completed after', performance.now() - killed, 'ms');
    await observer.sees(ghost, 'gone', 2 * scale.leaseMs + 5000 + scale.busyMs);
    report.atMost(
      'a peer that did not come back announced gone after',
      performance.now() - killed,
      scale.leaseMs + 1000,
      'ms',
    );
    observer.cut();
    await fleet.launch(victim);
  });

/** Every instance is replaced, one after the other. */
export const rollingRestart = (scale: Scale): Promise<Report> =>
  performOnRedis('a rolling restart', scale, async ({ fleet, town, sessions, report }) => {
    let next = 0;
    let draining: Promise<void> | undefined;
    // The drain begins when an offer has come over that instance, before the answer.
    await sessions.serve(fleet, 'restarting', () => void (draining = fleet.drain(next)));
    const begun = performance.now();
    for (const index of instances) {
      next = index;
      await fleet.at(index, () => sessions.join(fleet, 'restarting', `caller-${index}`));
      await draining;
      await fleet.launch(index);
      await town.whole();
    }
    report.figure('all instances replaced after', performance.now() - begun, 'ms');
    report.exactly('peers with a wrong view of their room', town.mistaken, 0);
    report.exactly('signaling sockets lost with no other in their place', town.absences.length, 0);
    report.exactly('times that a peer was announced gone', town.announcedGone, 0);
  });
