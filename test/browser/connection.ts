import type { CandidateInit, RtcDataChannel, RtcPeerConnection, RtcStats } from 'mcp-rendezvous';
import type { Page } from 'playwright-core';

type Description = { type: 'offer' | 'answer'; sdp: string };

/** What a page tells of its connection. */
interface Told {
  candidate?: CandidateInit | null;
  states?: Pick<RtcPeerConnection, 'connectionState' | 'iceConnectionState' | 'iceGatheringState'>;
  local?: Description;
  channel?: 'arrived' | RtcDataChannel['readyState'];
  message?: string;
}

/** The page's globals. */
interface InPage {
  RTCPeerConnection: new (configuration: object) => RtcPeerConnection;
  connection: RtcPeerConnection;
  channel: RtcDataChannel;
  tell(told: Told): Promise<void>;
  adopt(channel: RtcDataChannel): void;
}

/**
 * The connection of a page, as far as a test of its engine needs it, from outside. One for each
 * page; text messages only.
 */
export async function connectionIn(page: Page): Promise<RtcPeerConnection> {
  const here = await page.evaluateHandle(() => globalThis as unknown as InPage); // a page's
  let states = { connectionState: 'new', iceConnectionState: 'new', iceGatheringState: 'new' } as NonNullable<
    Told['states']
  >;
  let local: Description | null = null;
  let remote: Description | null = null;
  let channelState: RtcDataChannel['readyState'] = 'connecting';
  // What has no answer in WebRTC is done in the order of the calls.
  let done: Promise<unknown> = Promise.resolve();
  const next = <T>(work: () => Promise<T>): Promise<T> => {
    const result = done.then(work);
    done = result.catch(() => {}); // its caller hears of it
    return result;
  };
  const channel = {
    label: 'mcp',
    get readyState() {
      return channelState;
    },
    send: (text: string) => void next(() => here.evaluate(({ channel: its }, data) => its.send(data), text)),
    close: () => void next(() => here.evaluate(({ channel: its }) => its.close())),
    onopen: null,
    onmessage: null,
    onclose: null,
  } as unknown as RtcDataChannel; // the members that the test uses
  const connection = {
    get connectionState() {
      return states.connectionState;
    },
    get iceConnectionState() {
      return states.iceConnectionState;
    },
    get iceGatheringState() {
      return states.iceGatheringState;
    },
    get localDescription() {
      return local;
    },
    get remoteDescription() {
      return remote;
    },
    createDataChannel: (label: string) => {
      void next(() => here.evaluate((its, name) => its.adopt(its.connection.createDataChannel(name)), label));
      return channel;
    },
    createOffer: (options = {}) =>
      next(() =>
        here.evaluate(async (its, given) => {
          const { type, sdp } = await its.connection.createOffer(given);
          return { type, sdp: sdp ?? '' };
        }, options),
      ),
    createAnswer: () =>
      next(() =>
        here.evaluate(async (its) => {
          const { type, sdp } = await its.connection.createAnswer();
          return { type, sdp: sdp ?? '' };
        }),
      ),
    setLocalDescription: (description: Description) => {
      local = description;
      return next(() => here.evaluate((its, given) => its.connection.setLocalDescription(given), description));
    },
    setRemoteDescription: (description: Description) => {
      remote = description;
      return next(() => here.evaluate((its, given) => its.connection.setRemoteDescription(given), description));
    },
    addIceCandidate: (candidate: CandidateInit) =>
      next(() => here.evaluate((its, given) => its.connection.addIceCandidate(given), candidate)),
    getStats: async () => {
      const reports = await next(() =>
        here.evaluate(async (its) => {
          const list: RtcStats[] = [];
          (await its.connection.getStats()).forEach((report) => list.push(report));
          return list;
        }),
      );
      return { forEach: (callback: (report: RtcStats) => void) => reports.forEach((report) => callback(report)) };
    },
    close: () => next(() => here.evaluate((its) => its.connection.close())),
    onicecandidate: null,
    onconnectionstatechange: null,
    onicegatheringstatechange: null,
    ondatachannel: null,
  } as unknown as RtcPeerConnection; // the members that the test uses

  await page.exposeFunction('tell', (told: Told) => {
    if (told.candidate !== undefined) connection.onicecandidate?.({ candidate: told.candidate });
    if (told.local) local = told.local;
    if (told.states) {
      states = told.states;
      connection.onconnectionstatechange?.(undefined);
      connection.onicegatheringstatechange?.(undefined);
    }
    if (told.channel === 'arrived') {
      channelState = 'open';
      connection.ondatachannel?.({ channel });
    } else if (told.channel) {
      channelState = told.channel;
      if (told.channel === 'open') channel.onopen?.(undefined);
      else channel.onclose?.(undefined);
    }
    if (told.message !== undefined) channel.onmessage?.({ data: told.message });
  });
  await here.evaluate((its) => {
    const made = new its.RTCPeerConnection({ iceServers: [] });
    const tell = (told: Told) => void its.tell(told);
    its.connection = made;
    its.adopt = (adopted) => {
      its.channel = adopted;
      adopted.onopen = () => tell({ channel: 'open' });
      adopted.onclose = () => tell({ channel: 'closed' });
      adopted.onmessage = ({ data }) => tell({ message: String(data) });
    };
    made.onicecandidate = ({ candidate }) => {
      const { localDescription } = made;
      if (localDescription) tell({ local: { type: localDescription.type as 'offer', sdp: localDescription.sdp } });
      tell({ candidate: candidate && (JSON.parse(JSON.stringify(candidate)) as CandidateInit) });
    };
    const tellStates = () => {
      const { connectionState, iceConnectionState, iceGatheringState } = made;
      tell({ states: { connectionState, iceConnectionState, iceGatheringState } });
    };
    made.onconnectionstatechange = tellStates;
    made.oniceconnectionstatechange = tellStates;
    made.onicegatheringstatechange = tellStates;
    made.ondatachannel = ({ channel: adopted }) => {
      its.adopt(adopted);
      tell({ channel: 'arrived' });
    };
  });
  return connection;
}
