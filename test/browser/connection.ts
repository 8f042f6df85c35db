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

/** What the page has of it, besides the DOM. */
interface InPage {
  connection: RtcPeerConnection;
  channel: RtcDataChannel;
  tell(told: Told): Promise<void>;
  adopt(channel: RtcDataChannel): void;
}

/** The connection of a page, as far as a test of its engine needs it, from outside. One for each page; text messages only. */
export async function connectionIn(page: Page): Promise<RtcPeerConnection> {
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
    send: (text: string) =>
      void next(() => page.evaluate((data) => (globalThis as unknown as InPage).channel.send(data), text)),
    close: () => void next(() => page.evaluate(() => (globalThis as unknown as InPage).channel.close())),
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
      void next(() =>
        page.evaluate((name) => {
          const here = globalThis as unknown as InPage;
          here.adopt(here.connection.createDataChannel(name));
        }, label),
      );
      return channel;
    },
    createOffer: (options = {}) =>
      next(() =>
        page.evaluate(async (given) => {
          const { type, sdp } = await (globalThis as unknown as InPage).connection.createOffer(given);
          return { type, sdp: sdp ?? '' };
        }, options),
      ),
    createAnswer: () =>
      next(() =>
        page.evaluate(async () => {
          const { type, sdp } = await (globalThis as unknown as InPage).connection.createAnswer();
          return { type, sdp: sdp ?? '' };
        }),
      ),
    setLocalDescription: (description: Description) => {
      local = description;
      return next(() =>
        page.evaluate((given) => (globalThis as unknown as InPage).connection.setLocalDescription(given), description),
      );
    },
    setRemoteDescription: (description: Description) => {
      remote = description;
      return next(() =>
        page.evaluate((given) => (globalThis as unknown as InPage).connection.setRemoteDescription(given), description),
      );
    },
    addIceCandidate: (candidate: CandidateInit) =>
      next(() =>
        page.evaluate((given) => (globalThis as unknown as InPage).connection.addIceCandidate(given), candidate),
      ),
    getStats: async () => {
      const reports = await next(() =>
        page.evaluate(async () => {
          const list: RtcStats[] = [];
          (await (globalThis as unknown as InPage).connection.getStats()).forEach((report) => list.push(report));
          return list;
        }),
      );
      return { forEach: (callback: (report: RtcStats) => void) => reports.forEach((report) => callback(report)) };
    },
    close: () => next(() => page.evaluate(() => (globalThis as unknown as InPage).connection.close())),
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
  await page.evaluate(() => {
    const here = globalThis as unknown as InPage & {
      RTCPeerConnection: new (configuration: object) => RtcPeerConnection;
    };
    const made = new here.RTCPeerConnection({ iceServers: [] });
    const tell = (told: Told) => void here.tell(told);
    here.connection = made;
    here.adopt = (adopted) => {
      here.channel = adopted;
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
      here.adopt(adopted);
      tell({ channel: 'arrived' });
    };
  });
  return connection;
}
